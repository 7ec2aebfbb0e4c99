// SPDX-License-Identifier: Apache-2.0
//
// A directory for one test, and cmocka with what it needs.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// after the standard headers, as cmocka wants it
#include <cmocka.h>
#include <ftw.h>
#include <unistd.h>

enum { TMPDIR_MAX = 128 };

static inline void tmpdir_make(char dir[TMPDIR_MAX])
{
    const char *base = getenv("TMPDIR");
    snprintf(dir, TMPDIR_MAX, "%s/weir-test-XXXXXX", base == NULL ? "/tmp" : base);
    assert_non_null(mkdtemp(dir));
}

static inline int tmpdir_remove_one(const char *path, const struct stat *st, int type,
                                    struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void tmpdir_remove(const char *dir)
{
    assert_int_equal(nftw(dir, tmpdir_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}
