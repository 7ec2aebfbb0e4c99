-- SPDX-License-Identifier: Apache-2.0
--
-- Card fraud: turns transactions into point-in-time features, keeps a training set, raises alerts.
--
--   weir generate fraud --out transactions.csv.gz
--   weir run fraud.lua --bounded --set transactions=transactions.csv.gz --set out=out
--
-- Parameters (--set name=value)
--   transactions   the CSV file, plain or gzip
--   out            directory for the training set and the alerts
--   partitions     of every topic: how many tasks share the work
--   layout         how transactions lie in their topic: "customer" (by key), "round_robin", "blocks"
--   format         of the training set: "csv" or "avro"
--   roll_rows      rows in a file of the training set
--   commit_rows    rows that the source puts into one transaction
--   alert_amount   an alert above this amount …
--   alert_risk     … or at a terminal whose share of frauds in 7 days is above this

local weir = require "weir"

local transactions = weir.param("transactions", "transactions.csv.gz")
local out          = weir.param("out", "out")
local partitions   = weir.param("partitions", 1)
local layout       = weir.param("layout", "customer")
local format       = weir.param("format", "csv")
local roll_rows    = weir.param("roll_rows", 100000)
local commit_rows  = weir.param("commit_rows", 20000)
local alert_amount = weir.param("alert_amount", 220.0)
local alert_risk   = weir.param("alert_risk", 0.5)

-- Only rows that lie by customer may claim that key; otherwise weir brings them there.
local by_customer = layout == "customer"
local partition_by = ({ customer = "key", round_robin = "round_robin", blocks = "blocks:10000" })[layout]
if not partition_by then
  error("layout must be customer, round_robin or blocks, not " .. layout)
end

local app = weir.app "fraud"

local Tx = weir.schema {
  tx_id       = "long",
  ts          = "timestamp",
  customer_id = "long",
  terminal_id = "long",
  amount      = "double",
  fraud       = weir.label { "boolean", visible_after = "7d" }, -- known a week later: never leaks
}

app:source("card_transactions", {
  to = "transactions", connector = "file", path = transactions, format = "csv",
  time = "ts", partition_by = partition_by, commit_rows = commit_rows,
})

local features = app
  :stream("transactions", {
    value = weir.json(Tx), time = "ts", partitions = partitions,
    key = by_customer and "customer_id" or nil,
  })
  :filter(function(t) return t.amount >= 0 end)
  :features("customer", {
    by = "customer_id", windows = { "1d", "7d", "30d" },
    compute = { nb_tx = weir.count(), avg_amount = weir.mean "amount" },
  })
  :features("terminal", {
    by = "terminal_id", windows = { "1d", "7d", "30d" },
    -- The label of a transaction is known 7 days later: both windows end there.
    compute = { nb_tx = weir.count { delay = "7d" }, risk = weir.mean { "fraud", delay = "7d" } },
  })
  :with {
    night   = function(t) return weir.hour(t.ts) <= 6 end,
    weekend = function(t) return weir.weekday(t.ts) >= 5 end,
  }

features:to("tx_features", { partitions = partitions })

-- Without transactions at the terminal in the window the risk is 0.
features
  :filter(function(t) return t.amount > alert_amount or t.terminal_risk_7d > alert_risk end)
  :to("alerts", { partitions = partitions })

app:sink("training_set", {
  from = "tx_features", connector = "file", path = out, format = format, roll_rows = roll_rows,
  booleans = "0/1",
  columns = {
    "tx_id", "ts", "customer_id", "terminal_id", "amount", "fraud", "night", "weekend",
    "customer_nb_tx_1d", "customer_avg_amount_1d",
    "customer_nb_tx_7d", "customer_avg_amount_7d",
    "customer_nb_tx_30d", "customer_avg_amount_30d",
    "terminal_nb_tx_1d", "terminal_risk_1d",
    "terminal_nb_tx_7d", "terminal_risk_7d",
    "terminal_nb_tx_30d", "terminal_risk_30d",
  },
})

app:sink("alert_files", { from = "alerts", connector = "file", path = out, format = "jsonl" })
