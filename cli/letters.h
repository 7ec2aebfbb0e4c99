// SPDX-License-Identifier: Apache-2.0
//
// Letters: dead letters as the command line reads them: the records of `<app>-dead-letters`
// with their headers taken apart (runtime/dead_letter.h says which there are).
#pragma once

#include "cli/client.h"
#include "log/rec.h"

struct letter {             // slices and strings in the reader's arena
    const char *topic_name; // of the dead letters
    int64_t offset, time;
    const char *app, *stage, *where, *error_class, *cause, *topic; // never NULL
    int32_t partition; // of the record's own topic; -1: it never was in a topic
    int64_t record_offset;
    struct slice key, value;
};

struct letters {
    struct letter *items;
    uint32_t count;
};

// All dead letters of `app` (NULL: of every app), oldest first per topic.
int letters_read(struct client *, const char *app, struct arena *, struct letters *out,
                 struct err *);
