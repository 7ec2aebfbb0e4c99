-- SPDX-License-Identifier: Apache-2.0
--
-- weir test fraud_test.lua
local test = require "weir.test"

local DAY, HOUR = 86400000, 3600000
local T0 = 1530403200000 -- 2018-07-01, a Sunday, midnight UTC

local function tx(id, time, customer, terminal, amount, fraud)
  return { tx_id = id, ts = T0 + time, customer_id = customer, terminal_id = terminal, amount = amount,
    fraud = fraud or false }
end

-- With any number of tasks, and however the transactions lie in their topic, the answers are the same.
local setups = {
  { partitions = 1, set = {} },
  { partitions = 4, set = { partitions = 4 } },
  { partitions = 4, set = { partitions = 4, layout = "round_robin" } },
}

for _, setup in ipairs(setups) do
  test.app("fraud.lua", setup)
  local on = " (" .. setup.partitions .. " partitions, " .. (setup.set.layout or "by customer") .. ")"

  test.case("customer windows include the transaction itself" .. on, function(t)
    t:pipe("transactions", { tx(1, 0, 7, 1, 10), tx(2, HOUR, 7, 2, 20), tx(3, HOUR, 8, 1, 5) })
    t:finish()
    t:expect("tx_features", {
      { tx_id = 1, customer_nb_tx_1d = 1, customer_avg_amount_1d = 10, customer_nb_tx_30d = 1 },
      { tx_id = 2, customer_nb_tx_1d = 2, customer_avg_amount_1d = 15, customer_avg_amount_30d = 15 },
      { tx_id = 3, customer_nb_tx_1d = 1, customer_avg_amount_1d = 5 },
    }, { any_order = true })
  end)

  test.case("a window is open at its begin" .. on, function(t)
    -- A day before to the millisecond is out, one millisecond later is in.
    t:pipe("transactions", { tx(1, 0, 7, 1, 10), tx(2, 1, 7, 1, 20), tx(3, DAY, 7, 1, 30) })
    t:finish()
    t:expect("tx_features", {
      { tx_id = 1, customer_nb_tx_1d = 1 },
      { tx_id = 2, customer_nb_tx_1d = 2 },
      { tx_id = 3, customer_nb_tx_1d = 2, customer_avg_amount_1d = 25, customer_nb_tx_7d = 3 },
    }, { any_order = true })
  end)

  test.case("a label does not leak before its 7 days" .. on, function(t)
    t:pipe("transactions", {
      tx(1, 0, 1, 9, 10, true),
      tx(2, 7 * DAY - 1, 2, 9, 10), -- not known yet
      tx(3, 7 * DAY, 3, 9, 10),     -- known now
      tx(4, 8 * DAY, 4, 9, 10),     -- out of the window of a day
      tx(5, 14 * DAY - 1, 5, 9, 10),
      tx(6, 14 * DAY, 6, 9, 10),    -- out of that of 7 days; 2 and 3 are known
    })
    t:finish()
    t:expect("tx_features", {
      { tx_id = 1, terminal_nb_tx_7d = 0, terminal_risk_7d = 0 },
      { tx_id = 2, terminal_nb_tx_30d = 0, terminal_risk_30d = 0 },
      { tx_id = 3, terminal_nb_tx_1d = 1, terminal_risk_1d = 1, terminal_risk_7d = 1 },
      { tx_id = 4, terminal_nb_tx_1d = 0, terminal_risk_1d = 0, terminal_risk_7d = 1 },
      { tx_id = 5, terminal_nb_tx_7d = 2, terminal_risk_7d = 0.5 },
      { tx_id = 6, terminal_nb_tx_7d = 2, terminal_risk_7d = 0, terminal_nb_tx_30d = 3 },
    }, { any_order = true })
  end)

  test.case("ties count in the order of the transactions" .. on, function(t)
    t:pipe("transactions", { tx(1, 0, 7, 1, 10), tx(2, 0, 7, 2, 30), tx(3, 0, 7, 3, 20) }, { partition = 0 })
    t:finish()
    t:expect("tx_features", {
      { tx_id = 1, customer_nb_tx_1d = 1, customer_avg_amount_1d = 10 },
      { tx_id = 2, customer_nb_tx_1d = 2, customer_avg_amount_1d = 20 },
      { tx_id = 3, customer_nb_tx_1d = 3, customer_avg_amount_1d = 20 },
    }, { any_order = true })
  end)

  test.case("alerts: a large amount, or a risky terminal" .. on, function(t)
    t:pipe("transactions", {
      tx(1, 0, 1, 9, 220),         -- not above the limit
      tx(2, HOUR, 2, 9, 220.5),
      tx(3, 2 * HOUR, 3, 9, 30, true),
      tx(4, 3 * HOUR, 3, 9, 30, true),
      tx(5, 3 * HOUR, 3, 9, 30, true),
      tx(6, 8 * DAY, 4, 9, 1),     -- 3 frauds of 5
      tx(7, 8 * DAY, 4, 8, 1),
    })
    t:finish()
    t:expect("alerts", { { tx_id = 2 }, { tx_id = 6, terminal_risk_7d = 0.6 } }, { any_order = true })
  end)

  test.case("night and weekend" .. on, function(t)
    t:pipe("transactions", {
      tx(1, 6 * HOUR, 1, 1, 1), tx(2, 7 * HOUR, 1, 1, 1), tx(3, DAY, 1, 1, 1), tx(4, 5 * DAY + 12 * HOUR, 1, 1, 1),
      tx(5, 6 * DAY + 12 * HOUR, 1, 1, 1),
    })
    t:finish()
    t:expect("tx_features", {
      { tx_id = 1, night = true, weekend = true },
      { tx_id = 2, night = false, weekend = true },
      { tx_id = 3, night = true, weekend = false },
      { tx_id = 4, night = false, weekend = false },
      { tx_id = 5, night = false, weekend = true },
    }, { any_order = true })
  end)

  test.case("negative amounts are left out" .. on, function(t)
    t:pipe("transactions", { tx(1, 0, 1, 1, -5), tx(2, 1, 1, 1, 5) })
    t:finish()
    t:expect("tx_features", { { tx_id = 2, customer_nb_tx_1d = 1 } })
  end)
end

test.app("fraud.lua", { set = { alert_amount = 50 } })
test.case("the limit is a parameter", function(t)
  t:pipe("transactions", { tx(1, 0, 1, 1, 50), tx(2, 1, 1, 1, 51) })
  t:finish()
  t:expect("alerts", { { tx_id = 2 } })
end)
