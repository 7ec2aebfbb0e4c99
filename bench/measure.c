// SPDX-License-Identifier: Apache-2.0
//
// Measure: runs a command and prints one line: wall seconds, user and system CPU seconds, peak
// resident memory in MiB. usage: measure COMMAND [ARGUMENT…]
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

int main(int argc, char **argv)
{
    struct timespec a, b;
    struct rusage u;
    int status;
    if (argc < 2) {
        fprintf(stderr, "usage: measure COMMAND [ARGUMENT…]\n");
        return 2;
    }
    clock_gettime(CLOCK_MONOTONIC, &a);
    pid_t pid = fork();
    if (pid == 0) {
        execvp(argv[1], argv + 1);
        perror(argv[1]);
        _exit(127);
    }
    if (pid < 0 || wait4(pid, &status, 0, &u) < 0) {
        perror("measure");
        return 1;
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("%.3f %.3f %.3f %ld\n",
           (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9,
           seconds(u.ru_utime), seconds(u.ru_stime), u.ru_maxrss / 1024);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
