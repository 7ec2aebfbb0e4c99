// SPDX-License-Identifier: Apache-2.0
//
// Test driver: the production engine (plan, tasks, operators, commit, state) on one thread, over a
// log in memory and a simulated clock: what `weir test` runs scripts on. Sources and sinks of the
// script are not started; records are piped into topics and read out of them.
#pragma once

#include "base/clk.h"
#include "log/log.h"
#include "scripts/testfile.h"

struct test_driver;

int test_driver_open(const char *app_path, const struct script_param *params, uint32_t params_count,
                     int32_t partitions, struct test_driver **out, struct err *err);
void test_driver_close(struct test_driver *d);
int test_driver_pipe(struct test_driver *d, const struct testfile_pipe *p, struct err *err);
int test_driver_advance(struct test_driver *d, int64_t ms, struct err *err);
int test_driver_finish(struct test_driver *d, struct err *err); // as the end of a bounded run
// `topic` NULL: the dead letters, see testfile_host.take.
int test_driver_take(struct test_driver *d, const char *topic, struct arena *arena,
                     struct testfile_record *out, struct err *err);
// Drop counts, for a case that failed.
void test_driver_report(struct test_driver *d, FILE *to);
// A host for testfile_run; `arg` is a struct test_driver * that the host opens and closes.
struct testfile_host test_driver_host(struct test_driver **slot);
