-- SPDX-License-Identifier: Apache-2.0
-- The features of examples/fraud on transactions that are on the log already; no file sinks.
local weir = require "weir"
local app = weir.app "bench-fraud"
local Tx = weir.schema {
  { "tx_id", "long" }, { "ts", "timestamp" }, { "customer_id", "long" }, { "terminal_id", "long" },
  { "amount", "double" }, { "fraud", weir.label { "long", visible_after = "7d" } },
}
local features = app
  :stream("transactions", { value = weir.json(Tx), time = "ts", key = "customer_id" })
  :filter(function(t) return t.amount > 0 end)
  :features("customer", { by = "customer_id", windows = { "1d", "7d", "30d" },
    compute = { nb_tx = weir.count(), avg_amount = weir.mean "amount" } })
  :features("terminal", { by = "terminal_id", windows = { "1d", "7d", "30d" },
    compute = { nb_tx = weir.count { delay = "7d" }, risk = weir.mean "fraud" } })
features:to("bench_features", { value = weir.param("output", "json") })
features:filter(function(t) return t.amount > 220 or t.terminal_risk_7d > 0.5 end):to "bench_alerts"
