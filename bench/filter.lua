-- SPDX-License-Identifier: Apache-2.0
-- A stateless hop: one Lua call per record, half of them pass.
local weir = require "weir"
local app = weir.app "bench-filter"
app:stream("transactions", { value = "json" })
  :filter(function(t) return t.amount > 50 end)
  :to "bench_filtered"
