-- SPDX-License-Identifier: Apache-2.0
local test = require "weir.test"

local function order(id, ts, customer, amount)
  return { id = id, ts = ts, customer = customer, amount = amount }
end

for _, partitions in ipairs { 1, 3 } do
  test.app("shop.lua", { partitions = partitions })
  local on = " (" .. partitions .. " partitions)"

  test.case("an order above the limit alerts" .. on, function(t)
    t:pipe("limits", { customer = "ann", max = 10 })
    t:pipe("orders", { order(1, 0, "ann", 5), order(2, 10, "ann", 11), order(3, 20, "bob", 99) })
    t:expect("alerts", { { id = 2, customer = "ann", limit_max = 10 } })
    t:expect("alerts", {}) -- it was taken
  end)

  test.case("limits change and go" .. on, function(t)
    t:pipe("limits", { customer = "ann", max = 10 })
    t:pipe("orders", order(1, 0, "ann", 11))
    t:pipe("limits", { customer = "ann", max = 20 })
    t:pipe("orders", order(2, 0, "ann", 11))
    t:pipe("limits", test.null, { key = "ann" })
    t:pipe("orders", order(3, 0, "ann", 1000))
    t:expect("alerts", { { id = 1 } })
  end)

  test.case("hours close at the end of the input" .. on, function(t)
    t:pipe("orders", { order(1, 0, "ann", 1), order(2, 1, "bob", 1), order(3, 3600000, "ann", 1) })
    t:finish()
    t:expect("hourly", {
      { customer = "ann", window_start = 0, count = 1 },
      { customer = "bob", window_start = 0, count = 1 },
      { customer = "ann", window_start = 3600000, window_end = 7200000, count = 1 },
    }, { any_order = true })
  end)

  test.case("a negative amount is set aside" .. on, function(t)
    t:pipe("orders", order(7, 0, "ann", -1))
    t:expect_dead_letters {
      { cause = "negative amount", where = "shop.lua:12", stage = "filter", topic = "orders", offset = 0 },
    }
  end)
end

test.app("shop.lua", { set = { surcharge = 5 } })

test.case("parameters", function(t)
  t:pipe("limits", { customer = "ann", max = 10 })
  t:pipe("orders", order(1, 0, "ann", 6))
  local alerts = t:take("alerts")
  assert(#alerts == 1 and alerts[1].key == "ann" and alerts[1].value.id == 1)
end)

test.case("an hour closes as time goes on, and when input rests", function(t)
  t:pipe("orders", { order(1, 0, "ann", 1), order(2, 3600000, "ann", 1) })
  t:expect("hourly", { { window_start = 0 } })
  t:pipe("orders", order(3, 10, "ann", 1)) -- late: dropped
  t:advance "1m"
  t:expect("hourly", {})
end)
