// SPDX-License-Identifier: Apache-2.0
//
// Dead letter: a record that could not be processed, kept with everything needed to understand it
// and to send it again. The key and value are the original bytes; headers say the rest:
//   weir.app weir.stage weir.where weir.cause weir.topic weir.partition weir.offset weir.class
#pragma once

#include "log/log.h"

struct dead_letter {
    const char *app;
    const char *stage;       // operator or connector
    const char *where;       // script file:line
    const char *cause;       // what happened, for people
    const char *error_class; // err_code_name
    const char *topic;       // where the record came from
    int32_t partition;
    int64_t offset;
    int64_t time;
    struct slice key, value;
    struct slice headers; // of the record; the origin header is passed on
};

enum { DEAD_LETTER_HEADERS = 8 };

// Appends to `to` in the open transaction of `log`.
int dead_letter_append(struct log *log, struct log_tp to, const struct dead_letter *d,
                       struct err *err);
