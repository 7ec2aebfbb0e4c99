// SPDX-License-Identifier: Apache-2.0
//
// The broker and topic commands alone, as a program for test_topic_cli.sh.
#include "cli/cmd.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "broker") == 0)
        return cmd_broker(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "topic") == 0)
        return cmd_topic(argc - 1, argv + 1);
    fprintf(stderr, "usage: %s broker|topic …\n", argv[0]);
    return 2;
}
