// SPDX-License-Identifier: Apache-2.0
//
// `weir test`: runs Lua test files on the production engine, without a broker, on a simulated
// clock.
#include <stdio.h>

#include "base/logline.h"
#include "cli/cmd.h"
#include "cli/options.h"
#include "runtime/test_driver.h"

int cmd_test(int argc, char **argv)
{
    const char *only = NULL;
    bool verbose = false;
    const struct option table[] = {
        {"only", 0, OPTION_STRING, &only, "TEXT", "only cases whose name contains TEXT", NULL},
        {"verbose", 'v', OPTION_FLAG, &verbose, NULL, "show the engine's own messages", NULL},
        {NULL, 0, OPTION_FLAG, NULL, NULL, NULL, NULL},
    };
    struct options_usage u = {
        .usage = "weir test FILE_test.lua … [options]",
        .about = "Runs test files: each case pipes records into the topics of a script, moves the\n"
                 "simulated clock, and says what must come out. The engine is the one that `weir\n"
                 "run` uses; broker, sources and sinks are left out. Exit code 1 if a case fails.",
        .examples = "  local test = require \"weir.test\"\n"
                    "  test.app(\"app.lua\", { partitions = 4, set = { limit = 220 } })\n"
                    "  test.case(\"a big amount alerts\", function(t)\n"
                    "    t:pipe(\"transactions\", { tx_id = 1, ts = 0, amount = 300 })\n"
                    "    t:finish()\n"
                    "    t:expect(\"alerts\", { { tx_id = 1 } })\n"
                    "  end)\n",
        .table = table,
        .min_args = 1,
        .max_args = 1000,
    };
    struct options_args args;
    struct err err;
    enum options_outcome o = options_parse(&u, argc, argv, &args, &err);
    if (o != OPTIONS_RUN)
        return o == OPTIONS_HELP ? 0 : options_fail("test", &err, 2);
    if (!verbose)
        logline_level = LOG_ERROR;
    uint32_t passed = 0, failed = 0;
    for (int i = 0; i < args.count; i++) {
        struct test_driver *driver = NULL;
        struct testfile_host host = test_driver_host(&driver);
        struct testfile_result result;
        if (testfile_run(args.items[i], only, &host, stdout, &result, &err) != 0)
            return options_fail("test", &err, 1);
        passed += result.passed;
        failed += result.failed;
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
