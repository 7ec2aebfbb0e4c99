-- SPDX-License-Identifier: Apache-2.0
-- Each case fails in its own way; the expected output lies beside.
local test = require "weir.test"
test.app "shop.lua"

test.case("fields differ", function(t)
  t:pipe("limits", { customer = "ann", max = 10 })
  t:pipe("orders", { id = 1, ts = 0, customer = "ann", amount = 15 })
  t:expect("alerts", { { id = 2, limit_maxx = 12, customer = "ann" } })
end)

test.case("too many, too few", function(t)
  t:pipe("limits", { customer = "ann", max = 10 })
  t:pipe("orders", { id = 1, ts = 0, customer = "ann", amount = 15 })
  t:expect("alerts", {})
  t:expect("alerts", { { id = 1 } })
end)

test.case("no order", function(t)
  t:pipe("limits", { customer = "ann", max = 10 })
  t:pipe("orders", { id = 1, ts = 0, customer = "ann", amount = 15 })
  t:expect("alerts", { { id = 3 } }, { any_order = true })
end)

test.case("late records are mentioned", function(t)
  t:pipe("orders", { { id = 1, ts = 7200000, customer = "ann", amount = 1 }, { id = 2, ts = 0, customer = "ann", amount = 1 } })
  t:finish()
  t:expect("hourly", { { window_start = 0 }, { window_start = 7200000 } })
end)

test.case("dead letters nobody expected", function(t)
  t:pipe("orders", { id = 1, ts = 0, customer = "ann", amount = -1 })
end)

test.case("another dead letter", function(t)
  t:pipe("orders", { id = 1, ts = 0, customer = "ann", amount = -1 })
  t:expect_dead_letters { { cause = "too big", offset = 0 } }
end)

test.case("unknown topic in", function(t) t:pipe("order", { id = 1 }) end)
test.case("unknown topic out", function(t) t:expect("alert", {}) end)
test.case("wrong type", function(t) t:pipe("orders", { id = 1, ts = "soon" }) end)
test.case("unknown option", function(t) t:pipe("orders", { id = 1 }, { partitions = 2 }) end)
test.case("no list", function(t) t:expect("alerts", { id = 1 }) end)
test.case("delete without a key", function(t) t:pipe("limits", test.null) end)
test.case("after the end", function(t)
  t:finish()
  t:pipe("orders", { id = 1, ts = 0, customer = "ann", amount = 1 })
end)
test.case("raises", function() error("my own message") end)
