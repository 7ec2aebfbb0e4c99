-- SPDX-License-Identifier: Apache-2.0
-- What the tests beside this file are about.
local weir = require "weir"
local limit = weir.param("surcharge", 0.0)
local app = weir.app "shop"

local Order = weir.schema { id = "long", ts = "timestamp", customer = "string", amount = "double" }
local Limit = weir.schema { customer = "string", max = "double" }

local limits = app:table("limits", { value = weir.json(Limit), key = "customer" })
local orders = app:stream("orders", { value = weir.json(Order), time = "ts" })
  :filter(function(o)
    if o.amount < 0 then error("negative amount") end
    return true
  end)

orders:join(limits, { by = "customer", prefix = "limit_" })
  :filter(function(o) return o.amount + limit > o.limit_max end)
  :to("alerts")
orders:count("per_customer", { by = "customer", window = "1h", emit = "close" }):to("hourly")
