-- SPDX-License-Identifier: Apache-2.0
-- Fills the topic `transactions` with JSON from a file, so that a benchmark reads it from the log.
local weir = require "weir"
local app = weir.app "bench-load"
local Tx = weir.schema {
  { "tx_id", "long" }, { "ts", "timestamp" }, { "customer_id", "long" }, { "terminal_id", "long" },
  { "amount", "double" }, { "fraud", "long" },
}
app:source("load", { connector = "file", to = "transactions", value = weir.json(Tx),
  path = weir.param("transactions", "transactions.csv.gz"), time = "ts", key = "customer_id",
  partitions = weir.param("partitions", 1) })
