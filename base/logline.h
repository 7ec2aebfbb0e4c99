// SPDX-License-Identifier: Apache-2.0
//
// Logline: one line per event on standard error: time, level, area, text. Any thread; a line is
// written with one write(2), so lines never mix.
#pragma once

#include "base/check.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

extern enum log_level logline_level; // lowest level that is printed; INFO at start

void logline(enum log_level level, const char *area, const char *fmt, ...) PRINTF_LIKE(3, 4);
