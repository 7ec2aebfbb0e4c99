// SPDX-License-Identifier: Apache-2.0
#include "base/dirs.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_SIZE = 4096 };

int dirs_make(const char *path, struct err *e)
{
    char part[PATH_SIZE];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof(part))
        return err_set(e, ERR_INVALID, "the path '%.40s…' is %s", path,
                       n == 0 ? "empty" : "too long");
    memcpy(part, path, n + 1);
    for (char *slash = part + 1;; slash++) {
        if (*slash != '/' && *slash != 0)
            continue;
        char was = *slash;
        *slash = 0;
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            return err_io(e, "cannot create directory %s", part);
        *slash = was;
        if (was == 0)
            return 0;
    }
}
