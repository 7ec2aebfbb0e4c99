-- SPDX-License-Identifier: Apache-2.0
--
-- The DSL, second part: the app, its topics, and operators without state. See weir_core.lua.

---------------------------------------------------------------------------------------- nodes

local function add_node(line, kind, node, input, other)
  node.kind, node.id, node.line, node.where = kind, #nodes, line, c.where(line)
  node.inputs = { input and input.node.id, other and other.node.id }
  nodes[#nodes + 1] = node
  return node
end

-- `from`: the stream whose keys the records keep, if they do.
local function stream_of(node, schema, key, from)
  node.schema = schema
  return object("stream", { node = node, schema = schema, key = key,
    key_format = from and from.key_format, key_made = from and from.key_made })
end

local function method(kind, name, f)
  methods[kind][name] = function(self, ...)
    local line = c.line(name)
    if c.kind(self) ~= kind then
      if kind == "stream" and c.kind(self) == "table" then
        fail(":" .. name .. " works on streams; a table can only be joined: stream:join(table, …)")
      end
      fail(":" .. name .. " must be called with a colon on " .. an(kind) .. ", as in x:" .. name .. "(…)")
    end
    return f(self, line, ...)
  end
end

function c.missing(kind, name)
  local list = sorted_keys(methods[kind])
  c.line(tostring(name))
  if kind == "table" then
    fail("a table has no method '" .. tostring(name) .. "'; it can only be joined: stream:join(table, …)")
  end
  fail(an(kind) .. " has no method '" .. tostring(name) .. "'" .. hint(name, list))
end

-- Registers a user function after a look at its text: fields it reads must exist.
local function user_function(what, f, schema, position, writes)
  if type(f) ~= "function" then fail(what .. " needs a function, not " .. an(kind_of(f))) end
  local index = c.register(f, writes or false)
  if schema then
    for _, read in ipairs(c.reads(index, position or 1) or {}) do
      if not schema.index[read.name] then fail(what .. ": " .. no_field(schema, read.name), read.line) end
    end
  end
  return index
end

-- A function that reads a label gives a label: it is known no earlier.
local function inherit_label(field, index, schema)
  for _, read in ipairs(schema and c.reads(index, 1) or {}) do
    local f = schema.index[read.name]
    if f and f.label then
      field.label = true
      field.visible_after_ms = math.max(field.visible_after_ms or 0, f.visible_after_ms)
    end
  end
end

---------------------------------------------------------------------------------------- app

function weir.app(name, opts)
  local line = c.line("app")
  check_name("weir.app", name)
  if the_app then fail("weir.app: a script describes one app, and there is one already at " .. app_where) end
  local o = options("weir.app", opts, { on_error = "any" })
  local on_error = one_of("weir.app: on_error", o.on_error, "dead_letter", { "dead_letter", "stop" })
  the_app = object("app", { name = name, on_error = on_error, line = line })
  app_where = c.where(line)
  return the_app
end

local input_options = {
  value = "any", time = "any", key = "any", key_format = "key_format", max_out_of_order = "duration",
  idle_after = "duration_or_off", max_future = "duration_or_off", max_jump = "duration_or_off",
  partitions = "partitions", name = "string",
}

local function input(line, kind, what, topic, opts)
  check_topic(what, topic)
  what = what .. " '" .. topic .. "'"
  local o = options(what, opts, input_options)
  local value = value_codec(what, o.value, nil, false)
  local schema = value.schema
  local node = {
    topic = topic, codec = value, key_format = o.key_format, key_field = o.key,
    max_out_of_order_ms = o.max_out_of_order or 0, idle_after_ms = o.idle_after or 30000,
    max_future_ms = o.max_future or -1, max_jump_ms = o.max_jump or -1, partitions = o.partitions or 0,
  }
  if o.time ~= nil then
    node.time_field = check_field(what .. ": time", schema, o.time)
    local t = type_of(schema, o.time)
    if t and t ~= "timestamp" and t ~= "long" and t ~= "any" then
      fail(what .. ": time = \"" .. o.time .. "\" must be a timestamp or a long (epoch milliseconds), not " .. an(t))
    end
  end
  if o.key ~= nil then check_field(what .. ": key", schema, o.key) end
  node.name = kind == "table" and own_name("table", o.name or topic, line) or
    (o.name and own_name("stream", o.name, line)) or made_name(topic)
  add_node(line, kind, node)
  local s = stream_of(node, schema, o.key, { key_format = o.key_format })
  return kind == "table" and object("table", { node = node, schema = schema, key = o.key }) or s
end

method("app", "stream", function(_, line, topic, opts) return input(line, "stream", ":stream", topic, opts) end)
method("app", "table", function(_, line, topic, opts) return input(line, "table", ":table", topic, opts) end)

local function connector(line, is_sink, name, opts)
  local what = is_sink and ":sink" or ":source"
  own_name(is_sink and "sink" or "source", name, line)
  what = what .. " '" .. name .. "'"
  local direction = is_sink and "from" or "to"
  local o = options(what, opts, {
    connector = "string", [direction] = "string", value = "any", key = "string",
    key_format = "key_format", partitions = "partitions",
  }, true)
  local other = is_sink and "to" or "from"
  if o[other] ~= nil then
    fail(what .. ": no option '" .. other .. "'; a " .. (is_sink and "sink reads from a topic: from" or
      "source writes to a topic: to") .. ' = "topic"')
  end
  if not o.connector then fail(what .. ': connector is missing (connector = "file")') end
  if not o[direction] then fail(what .. ": " .. direction .. " is missing (the topic)") end
  local spec = {
    name = name, where = c.where(line), line = line, is_sink = is_sink, connector = o.connector,
    topic = check_topic(what .. ": " .. direction, o[direction]), key_field = o.key,
    key_format = o.key_format, partitions = o.partitions or 0, options = {}, what = what,
  }
  if o.value ~= nil then spec.codec = value_codec(what, o.value, nil, false) end
  local taken = { connector = 1, [direction] = 1, value = 1, key = 1, key_format = 1, partitions = 1 }
  for k, v in pairs(o) do
    if not taken[k] then
      c.value(v, what .. ": " .. k)
      spec.options[k] = v
    end
  end
  connectors[#connectors + 1] = spec
end

method("app", "source", function(_, line, name, opts) connector(line, false, name, opts) end)
method("app", "sink", function(_, line, name, opts) connector(line, true, name, opts) end)

---------------------------------------------------------------------------------------- stateless

method("stream", "filter", function(self, line, f)
  local fn = user_function(":filter", f, self.schema)
  return stream_of(add_node(line, "filter", { name = made_name("filter"), fn = fn }, self), self.schema, self.key, self)
end)

method("stream", "peek", function(self, line, f)
  local fn = user_function(":peek", f, self.schema)
  return stream_of(add_node(line, "peek", { name = made_name("peek"), fn = fn }, self), self.schema, self.key, self)
end)

method("stream", "map", function(self, line, f, opts)
  local fn = user_function(":map", f, self.schema, 1, true)
  local o = options(":map", opts, { schema = "any" })
  local schema = need_schema(":map: schema", o.schema, true)
  -- The record keeps its key, but the field it came from may be gone or changed.
  local key = schema and self.key and schema.index[self.key] and self.key or nil
  return stream_of(add_node(line, "map", { name = made_name("map"), fn = fn }, self), schema, key, self)
end)

-- { f }, { type = "double", f } or f itself
local function with_field(schema, what, field, v)
  local f, declared = v, nil
  if type(v) == "table" and not c.kind(v) then
    f, declared = v[1], v.type
    for _, k in ipairs(sorted_keys(v)) do
      if k ~= 1 and k ~= "type" then
        fail(what .. ": " .. field .. ": no option '" .. tostring(k) .. "'" .. hint(k, { "type" }))
      end
    end
  end
  what = what .. ": " .. field
  local index = user_function(what, f, schema)
  local added
  if declared ~= nil then
    added = parse_type(what, declared)
  else
    local t, returned = c.infer(index)
    local source = returned and schema and schema.index[returned]
    added = source and { type = source.type, nullable = source.nullable } or { type = t or "any", nullable = t == nil }
  end
  added.name = field
  inherit_label(added, index, schema)
  return index, added
end

method("stream", "with", function(self, line, fields)
  if type(fields) ~= "table" or c.kind(fields) or next(fields) == nil then
    fail(":with needs a table of fields: :with{ night = function(t) return weir.hour(t.ts) <= 6 end }")
  end
  local node, schema = { name = made_name("with"), with = {} }, self.schema
  for k in pairs(fields) do
    if type(k) ~= "string" then fail(":with: fields are named: :with{ name = function(t) … end }") end
  end
  for i, k in ipairs(c.order(fields, line)) do
    -- Later functions see the fields set before.
    local index, field = with_field(schema, ":with", k, fields[k])
    node.with[i] = { name = k, fn = index }
    schema = schema and extend(schema, { field }, true)
  end
  local key = self.key
  if key and fields[key] then key = nil end -- the field no longer says what the key is
  return stream_of(add_node(line, "with", node, self), schema, key, self)
end)

method("stream", "key_by", function(self, line, by, opts)
  local o = options(":key_by", opts, { name = "string", key_format = "key_format" })
  local node, key = { key_format = o.key_format }, nil
  if type(by) == "function" then
    node.fn = user_function(":key_by", by, self.schema)
  else
    key = check_field(":key_by", self.schema, by)
    node.by = key
  end
  node.name = o.name and own_name("key_by", o.name, line) or made_name("by-" .. (key or "key"))
  local s = stream_of(add_node(line, "key_by", node, self), self.schema, key)
  s.key_format, s.key_made = o.key_format, key == nil
  return s
end)

method("stream", "to", function(self, line, topic, opts)
  check_topic(":to", topic)
  local what = ":to '" .. topic .. "'"
  local o = options(what, opts, { value = "any", key = "any", key_format = "key_format",
    partitions = "partitions", name = "string" })
  local node = { topic = topic, codec = value_codec(what, o.value, self.schema, true),
    key_format = o.key_format, partitions = o.partitions or 0 }
  if o.key ~= nil then node.key_field = check_field(what .. ": key", self.schema, o.key) end
  node.name = o.name and own_name("to", o.name, line) or made_name("to-" .. topic)
  node.schema = self.schema
  add_node(line, "to", node, self)
  return self
end)
