-- SPDX-License-Identifier: Apache-2.0
--
-- The DSL, third part: operators with state, and what happens when the script has run. See
-- weir_core.lua.

---------------------------------------------------------------------------------------- grouping

-- What an operator groups by: `by`, or the key the stream has. A repartition is the planner's.
local function group(self, what, by, node)
  if by ~= nil then check_field(what .. ": by", self.schema, by) end
  node.by = by or self.key
  -- Unchanged keys keep their bytes; new ones are text.
  if node.by == self.key then node.key_format = self.key_format end
  return node.by
end

local function keyed_stream(node, schema)
  local s = stream_of(node, schema, node.by)
  s.key_format = node.key_format
  return s
end

---------------------------------------------------------------------------------------- features

local function windows_of(what, windows)
  if type(windows) ~= "table" or #windows == 0 then
    fail(what .. ': windows must be a list of durations: windows = { "1d", "7d" }')
  end
  local out, seen = {}, {}
  for i, label in ipairs(windows) do
    local ms = type(label) == "string" and c.duration(label)
    if not ms or ms <= 0 then
      fail(what .. ': windows: a duration with its unit is needed, such as "1d", not ' .. tostring(label))
    end
    if seen[label] then fail(what .. ": windows: '" .. label .. "' is there twice") end
    if not label:find("^%w+$") then
      fail(what .. ": windows: '" .. label .. "' becomes part of a field's name: use a whole number and a unit")
    end
    seen[label] = true
    out[i] = { label = label, ms = ms }
  end
  return out
end

-- The delay of a feature: a label may only be read as late as it becomes known.
local function delay_of(what, spec, schema)
  local f = schema and spec.field and schema.index[spec.field]
  if not (f and f.label) then return spec.delay_ms or 0 end
  local needed = f.visible_after_ms
  if spec.delay_ms and spec.delay_ms < needed then
    fail(what .. ": would leak: the label '" .. spec.field .. "' is known only " .. c.duration_text(needed) ..
      " after its record, so delay must be at least " .. c.duration_text(needed) .. ", not " ..
      c.duration_text(spec.delay_ms))
  end
  return spec.delay_ms or needed
end

local function feature_of(self, what, name, key, spec)
  if kind_of(spec) ~= "aggregate" then
    local constructors = { "count", "sum", "mean", "min", "max", "stddev", "last", "distinct" }
    fail(what .. ": " .. key .. " must be made with weir." .. table.concat(constructors, ", weir.") ..
      ", not " .. an(kind_of(spec)))
  end
  what = what .. ": " .. key
  if spec.field then
    check_field(what, self.schema, spec.field)
    check_numeric(what, spec.agg, self.schema, spec.field)
  end
  return { name = key, kind = spec.agg, field = spec.field, outputs = {},
    delay_ms = delay_of(what, spec, self.schema) }
end

-- Adds the output fields of one feature, one per window.
local function feature_outputs(self, what, name, feature, windows, added, seen)
  local t, nullable = result_type(feature.kind, self.schema, feature.field)
  for i, w in ipairs(windows) do
    local field = name .. "_" .. feature.name .. "_" .. w.label
    if (self.schema and self.schema.index[field]) or seen[field] then
      fail(what .. ": the output field '" .. field .. "' is there already; rename the operator or the feature")
    end
    seen[field] = true
    feature.outputs[i] = field
    added[#added + 1] = { name = field, type = t, nullable = nullable }
  end
end

method("stream", "features", function(self, line, name, opts)
  own_name(":features", name, line)
  local what = ":features '" .. name .. "'"
  local o = options(what, opts, { by = "any", windows = "table", compute = "table", emit = "any" })
  local node = { name = name, features = {} }
  group(self, what, o.by, node)
  node.windows = windows_of(what, o.windows)
  node.emit = one_of(what .. ": emit", o.emit, "event", { "event", "arrival" })
  if type(o.compute) ~= "table" or next(o.compute) == nil then
    fail(what .. ': compute is missing or empty: compute = { n = weir.count(), avg = weir.mean "amount" }')
  end
  for k in pairs(o.compute) do
    if type(k) ~= "string" or not k:find("^[%a_][%w_]*$") then
      fail(what .. ": compute: '" .. tostring(k) .. "' becomes part of a field's name: use a word")
    end
  end
  local added, seen = {}, {}
  for i, k in ipairs(c.order(o.compute, line)) do
    local feature = feature_of(self, what, name, k, o.compute[k])
    node.features[i] = feature
    feature_outputs(self, what, name, feature, node.windows, added, seen)
  end
  if node.emit == "arrival" and self.schema and not self.schema.index.watermark_lag then
    added[#added + 1] = { name = "watermark_lag", type = "long", nullable = true }
  end
  add_node(line, "features", node, self)
  return keyed_stream(node, self.schema and extend(self.schema, added, false))
end)

---------------------------------------------------------------------------------------- aggregates

local aggregate_options = { by = "any", window = "duration", grace = "duration", emit = "any", as = "string" }

-- The schema of an aggregate's output: key, window, result; nil where a function makes the record.
local function aggregate_schema(node, t, nullable)
  local key_type = ({ long = "long", int = "int", double = "double", bytes = "bytes" })[node.key_format or "string"]
  local fields = { { name = node.by or "key", type = key_type or "string", nullable = false } }
  if node.window_ms > 0 then
    fields[2] = { name = "window_start", type = "timestamp", nullable = false }
    fields[3] = { name = "window_end", type = "timestamp", nullable = false }
  end
  for _, f in ipairs(fields) do
    if f.name == node.as then
      fail(":" .. node.agg .. " '" .. node.name .. "': as = \"" .. node.as .. "\" is already a field of the result")
    end
  end
  fields[#fields + 1] = { name = node.as, type = t, nullable = nullable }
  return new_schema((node.name:gsub("[^%w_]", "_"):gsub("^%d", "_%0")), fields)
end

-- Common to count, sum, reduce and aggregate; `extra` are options of the one at hand.
local function aggregate_node(self, line, agg, name, opts, extra)
  own_name(":" .. agg, name, line)
  local what = ":" .. agg .. " '" .. name .. "'"
  local spec = {}
  for k, v in pairs(aggregate_options) do spec[k] = v end
  for k, v in pairs(extra) do spec[k] = v end
  local o = options(what, opts, spec)
  local node = { name = name, agg = agg, window_ms = o.window or 0, grace_ms = o.grace or 0, as = o.as or agg }
  group(self, what, o.by, node)
  if o.window == 0 then fail(what .. ": window must be longer than 0") end
  if o.grace and not o.window then fail(what .. ": grace needs a window (window = \"1h\")") end
  node.emit = one_of(what .. ": emit", o.emit, "update", { "update", "close" })
  if node.emit == "close" and not o.window then
    fail(what .. ': emit = "close" needs a window (window = "1h"); without one nothing ever closes')
  end
  return node, o, what
end

method("stream", "count", function(self, line, name, opts)
  local node = aggregate_node(self, line, "count", name, opts, {})
  add_node(line, "aggregate", node, self)
  return keyed_stream(node, aggregate_schema(node, "long", false))
end)

method("stream", "sum", function(self, line, name, opts)
  local node, o, what = aggregate_node(self, line, "sum", name, opts, { field = "any" })
  if o.field == nil then fail(what .. ': field is missing (field = "amount")') end
  node.agg_field = check_field(what .. ": field", self.schema, o.field)
  check_numeric(what, "sum", self.schema, o.field)
  add_node(line, "aggregate", node, self)
  return keyed_stream(node, aggregate_schema(node, result_type("sum", self.schema, o.field)))
end)

-- The function makes the record; its schema is not known unless given.
local function aggregate_by_function(self, line, node, o, what, position)
  if o.fn == nil then fail(what .. ": fn is missing") end
  node.fn = user_function(what .. ": fn", o.fn, self.schema, position)
  add_node(line, "aggregate", node, self)
  return keyed_stream(node, need_schema(what .. ": schema", o.schema, true))
end

method("stream", "reduce", function(self, line, name, opts)
  local node, o, what = aggregate_node(self, line, "reduce", name, opts, { fn = "function", schema = "any" })
  return aggregate_by_function(self, line, node, o, what, 2)
end)

method("stream", "aggregate", function(self, line, name, opts)
  local extra = { fn = "function", init = "any", schema = "any" }
  local node, o, what = aggregate_node(self, line, "aggregate", name, opts, extra)
  node.init = o.init
  if type(o.init) == "function" then node.init = o.init() end
  if node.init ~= nil then c.value(node.init, what .. ": init") end
  return aggregate_by_function(self, line, node, o, what, 2)
end)

---------------------------------------------------------------------------------------- joins

local function joined_schema(self, table, prefix, left, what)
  if not (self.schema and table.schema) then return nil end
  local added = {}
  for i, f in ipairs(table.schema.fields) do
    local name = prefix .. f.name
    if self.schema.index[name] then
      fail(what .. ": the table's field '" .. f.name .. "' would become '" .. name ..
        "', which the stream has already; choose another prefix")
    end
    added[i] = { name = name, type = f.type, nullable = f.nullable or left, label = f.label,
      visible_after_ms = f.visible_after_ms }
  end
  return extend(self.schema, added, false)
end

-- The table is keyed by its records' keys; the stream must be keyed by the same.
local function join_key(self, what, table, by, node)
  if by ~= nil then
    check_field(what .. ": by", self.schema, by)
  elseif table.key and self.key ~= table.key and not (self.key == nil and self.key_made) then
    -- (A key made by key_by(function) is the user's word that it fits.)
    fail(what .. ": the stream is " .. (self.key and "keyed by '" .. self.key .. "'" or "not known to be keyed") ..
      ", the table by " .. (table.key and "'" .. table.key .. "'" or "its records' keys") ..
      "; say which field of the stream holds the table's key: by = \"" ..
      ((not self.schema or self.schema.index[table.key]) and table.key or self.key or "…") .. '"')
  end
  node.by = by or self.key
  node.key_format = table.node.key_format
end

local function join(self, line, left, what, table, opts)
  if kind_of(table) ~= "table" or not c.kind(table) then
    fail(what .. " needs a table (app:table(…)) as its first argument, not " ..
      (c.kind(table) and an(c.kind(table)) or an(type(table))))
  end
  what = what .. " '" .. table.node.name .. "'"
  local o = options(what, opts, { by = "any", prefix = "string", fn = "function", name = "string",
    schema = "any" })
  if o.prefix and o.fn then fail(what .. ": give prefix or fn, not both") end
  if o.schema and not o.fn then fail(what .. ": schema describes what fn returns; there is no fn") end
  local node = { left = left }
  node.name = o.name and own_name(what, o.name, line) or made_name("join-" .. table.node.name)
  join_key(self, what, table, o.by, node)
  local schema
  if o.fn then
    node.fn = user_function(what .. ": fn", o.fn, self.schema)
    schema = need_schema(what .. ": schema", o.schema, true)
  else
    node.prefix = o.prefix or table.node.name:gsub("[^%w_]", "_") .. "_"
    schema = joined_schema(self, table, node.prefix, left, what)
  end
  add_node(line, "join", node, self, table)
  return keyed_stream(node, schema)
end

method("stream", "join", function(self, line, t, opts) return join(self, line, false, ":join", t, opts) end)
method("stream", "left_join", function(self, line, t, opts) return join(self, line, true, ":left_join", t, opts) end)

---------------------------------------------------------------------------------------- finish

-- A sink reads what :to wrote, unless it says otherwise; a source writes what a stream reads.
local function connector_codec(spec)
  local found
  for _, n in ipairs(nodes) do
    local fits = n.kind == "to" and spec.is_sink or n.kind == "stream" or n.kind == "table"
    if fits and n.topic == spec.topic and (found == nil or (n.kind == "to" and spec.is_sink)) then found = n end
  end
  local codec_found = found and found.codec
  spec.codec = spec.codec or codec_found or codec("json")
  spec.key_format = spec.key_format or (found and found.key_format)
  if spec.partitions == 0 and found then spec.partitions = found.partitions end
  if not spec.is_sink then
    if spec.key_field == nil and found then spec.key_field = found.key_field end
    local schema = spec.codec.schema
    if schema and spec.key_field and not schema.index[spec.key_field] then
      fail(spec.what .. ": key: " .. no_field(schema, spec.key_field), spec.line)
    end
  end
end

-- Two nodes that use one topic must agree on its format.
local function check_topics()
  local written = {}
  for _, n in ipairs(nodes) do
    if n.kind == "to" then
      local other = written[n.topic]
      if other and other.codec.format ~= n.codec.format then
        fail(":to '" .. n.topic .. "' writes " .. n.codec.format .. ", but " .. other.where .. " writes " ..
          other.codec.format .. " to the same topic", n.line)
      end
      written[n.topic] = other or n
    end
  end
end

function c.finish()
  if not the_app then
    fail('the script describes no app; begin with: local app = weir.app "name"', 1)
  end
  check_topics()
  for _, spec in ipairs(connectors) do connector_codec(spec) end
  if #nodes == 0 and #connectors == 0 then
    fail('the app has nothing to do: no stream, table, source or sink', the_app.line)
  end
  return { name = the_app.name, on_error = the_app.on_error, nodes = nodes, connectors = connectors }
end

---------------------------------------------------------------------------------------- helpers

for name, f in pairs(c.helpers) do weir[name] = f end
weir.null = c.null

local function const(t, depth)
  local copy = {}
  if depth > 30 then fail("weir.const: tables are nested too deep, or contain themselves") end
  for k, v in pairs(t) do
    if type(v) == "table" and not c.kind(v) then
      v = const(v, depth + 1)
    elseif type(v) ~= "number" and type(v) ~= "string" and type(v) ~= "boolean" and kind_of(v) ~= "const" then
      fail("weir.const: [" .. tostring(k) .. "] is " .. an(kind_of(v)) ..
        "; constants are numbers, texts, booleans and tables of them")
    end
    copy[k] = v
  end
  return setmetatable({}, {
    __weir = "const", __metatable = false, __index = copy,
    __len = function() return #copy end,
    __pairs = function() return pairs(copy) end,
    __newindex = function() error("a weir.const table cannot be changed; state belongs into a store", 2) end,
  })
end

function weir.const(t)
  c.line("const")
  if type(t) ~= "table" or c.kind(t) then fail("weir.const needs a table, not " .. an(kind_of(t))) end
  return const(t, 0)
end
c.methods = methods
return weir
