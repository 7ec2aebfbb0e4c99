// SPDX-License-Identifier: Apache-2.0
//
// Dirs: making directories, as `mkdir -p`.
#pragma once

#include "base/err.h"

// Makes `path` and what is missing above it; existing ones are fine. ERR_IO names the one that
// could not be made.
int dirs_make(const char *path, struct err *e);
