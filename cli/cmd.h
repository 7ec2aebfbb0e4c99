// SPDX-License-Identifier: Apache-2.0
//
// Cmd: the entry points of `weir`'s commands. Each gets the arguments behind "weir" (argv[0] is the
// command's own word) and returns the process's exit code: 0 done, 1 failed, 2 wrong usage. Errors
// go to standard error as "weir <command>: <what, where, why, what next>".
#pragma once

int cmd_broker(int argc, char **argv);
int cmd_topic(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_connect(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_test(int argc, char **argv);
int cmd_dlq(int argc, char **argv);
int cmd_generate(int argc, char **argv);
