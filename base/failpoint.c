// SPDX-License-Identifier: Apache-2.0
#include "base/failpoint.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/logline.h"

enum { FAILPOINTS_MAX = 16, NAME_SIZE = 64 };

static struct point {
    char name[NAME_SIZE];
    bool kill;
    long left; // passes until it fires
} points[FAILPOINTS_MAX];
static int points_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

bool failpoint_armed;
bool (*failpoint_hook)(const char *name);

// One "name=kill@3" or "name=error".
static void parse_one(const char *s)
{
    const char *eq = strchr(s, '=');
    if (eq == NULL || (size_t)(eq - s) >= NAME_SIZE || points_count == FAILPOINTS_MAX)
        return;
    struct point *p = &points[points_count++];
    memcpy(p->name, s, (size_t)(eq - s));
    p->kill = strncmp(eq + 1, "kill", 4) == 0;
    const char *at = strchr(eq, '@');
    p->left = at == NULL ? 1 : strtol(at + 1, NULL, 10);
}

void failpoint_init(void)
{
    const char *env = getenv("WEIR_FAILPOINTS");
    if (env == NULL || *env == 0)
        return;
    char *copy = strdup(env), *rest = NULL;
    for (char *s = strtok_r(copy, ",", &rest); s != NULL; s = strtok_r(NULL, ",", &rest))
        parse_one(s);
    free(copy);
    failpoint_armed = points_count != 0;
}

bool failpoint_hit(const char *name)
{
    bool fire = false;
    if (failpoint_hook != NULL)
        return failpoint_hook(name);
    pthread_mutex_lock(&lock);
    for (int i = 0; i < points_count; i++) {
        struct point *p = &points[i];
        if (strcmp(p->name, name) != 0 || --p->left != 0)
            continue;
        if (p->kill) {
            logline(LOG_WARN, "failpoint", "killing this process at %s", name);
            kill(getpid(), SIGKILL);
        }
        fire = true;
    }
    pthread_mutex_unlock(&lock);
    return fire;
}
