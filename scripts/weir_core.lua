-- SPDX-License-Identifier: Apache-2.0
--
-- The DSL: what `require "weir"` gives. It checks every option, keeps track of the fields and the
-- key of each stream, and gathers plain tables that graph_build.c turns into the graph. It runs in
-- an environment of its own, so scripts cannot change what it calls. It is one chunk in three
-- files, joined by the build in this order: weir_core.lua (options, schemas, codecs, aggregates),
-- weir_stream.lua (app, topics, stateless operators), weir_state.lua (stateful operators, finish).
-- `c` are the bindings of dsl.c:
--
--   c.fail(text [, line])   raises with "file:line: " of the user's script
--   c.line(name)            the line of the call of `name` being made, the variable it is assigned
--                           to, and remembers the line for c.fail until the call returns
--   c.where(line)           "fraud.lua:12"
--   c.order(t, line)        the string keys of t in the order they were written
--   c.nearest(name, list)   the nearest of the names, or nil
--   c.duration(text)        milliseconds, or nil and why not
--   c.field_type(text)      type, nullable; or nil and why not
--   c.kind(v)               "stream", "schema" … for our own objects, else nil
--   c.register(f, writes)   the index of a user function
--   c.reads(f, position)    fields the function reads of that parameter: {name, line} each, or nil
--   c.infer(f)              the type of its results, or nil and the field it returns, or nil
--   c.param(name)           text of --set, or nil
--   c.value(v, what)        checks that v can be a constant
--   c.object(kind, t)       makes t one of our own objects
--   c.missing               is called when a method does not exist
local c = ...
local weir = {}
local methods = { app = {}, stream = {}, table = {} }
local the_app, app_where
local nodes, connectors, names, generated = {}, {}, {}, {}

local fail = c.fail

local function sorted_keys(t)
  local keys = {}
  for k in pairs(t) do keys[#keys + 1] = k end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  return keys
end

local function an(word)
  return (word:find("^[aeiou]") and "an " or "a ") .. word
end

local function kind_of(v)
  return c.kind(v) or type(v)
end

-- "; did you mean 'x'? (valid: a, b)"
local function hint(name, list)
  local near = c.nearest(tostring(name), list)
  local valid = #list > 0 and " (valid: " .. table.concat(list, ", ") .. ")" or " (there are none)"
  return (near and "; did you mean '" .. near .. "'?" or ";") .. valid
end

---------------------------------------------------------------------------------------- options

local checks = {}

function checks.string(v) return type(v) == "string" and v, "a string" end
function checks.boolean(v) if type(v) == "boolean" then return true, nil, v end return nil, "true or false" end
checks["function"] = function(v) return type(v) == "function" and v, "a function" end
function checks.table(v) return type(v) == "table" and v, "a table" end
function checks.integer(v) return math.type(v) == "integer" and v, "a whole number" end

function checks.partitions(v)
  return math.type(v) == "integer" and v >= 1 and v <= 10000 and v, "a whole number from 1 to 10000"
end

function checks.duration(v)
  local ms = type(v) == "string" and c.duration(v)
  return ms, 'a duration with its unit, such as "250ms", "30s", "15m", "2h" or "7d"'
end

function checks.duration_or_off(v)
  return v == "off" and -1 or checks.duration(v), 'a duration such as "30s", or "off"'
end

local key_formats = { "string", "long", "int", "double", "bytes" }
function checks.key_format(v)
  for _, f in ipairs(key_formats) do if v == f then return v end end
  return nil, 'one of "string", "long", "int", "double", "bytes"'
end

-- Options of a call, checked: `spec` maps names to names of checks ("any": no check here).
-- Names that are not in spec are errors, unless `open`.
local function options(what, given, spec, open)
  if given == nil then given = {} end
  if type(given) ~= "table" or c.kind(given) then
    fail(what .. ": options must be a table, not " .. an(kind_of(given)))
  end
  local out = {}
  for _, k in ipairs(sorted_keys(given)) do
    local v, check = given[k], spec[k]
    if check == nil then
      if type(k) ~= "string" then
        fail(what .. ": options are named, but there is a value at [" .. tostring(k) .. "]")
      elseif not open then
        fail(what .. ": no option '" .. k .. "'" .. hint(k, sorted_keys(spec)))
      end
      out[k] = v
    elseif check == "any" then
      out[k] = v
    else
      local ok, wanted, value = checks[check](v)
      if not ok then
        local got = type(v) == "string" and '"' .. v .. '"' or kind_of(v)
        fail(what .. ": " .. k .. " must be " .. wanted .. ", not " .. got)
      end
      if value == nil then value = ok end
      out[k] = value
    end
  end
  return out
end

local function one_of(what, v, default, list)
  if v == nil then return default end
  for _, x in ipairs(list) do if v == x then return v end end
  fail(what .. " must be one of \"" .. table.concat(list, '", "') .. "\", not " .. tostring(v) ..
    (type(v) == "string" and c.nearest(v, list) and '; did you mean "' .. c.nearest(v, list) .. '"?' or ""))
end

-- Names of operators become names of topics, stores and fields.
local function check_name(what, name)
  if type(name) ~= "string" then
    fail(what .. " needs a name (a string) as its first argument, not " .. an(kind_of(name)))
  end
  if not name:find("^[%w._-]+$") or #name > 120 or name == "." or name == ".." then
    fail(what .. ": '" .. name .. "' cannot be a name: use letters, digits, '_', '-' and '.', at most 120")
  end
  return name
end

local function own_name(what, name, line)
  check_name(what, name)
  if names[name] then
    fail(what .. ": the name '" .. name .. "' is already taken by " .. names[name] ..
      "; names of operators, tables, sources and sinks must differ, as topics and state carry them")
  end
  names[name] = what .. " at " .. c.where(line)
  return name
end

-- Stateless operators are numbered; nothing outside the process depends on these names.
local function made_name(base)
  local n = (generated[base] or 0) + 1
  generated[base] = n
  return n == 1 and base or base .. "-" .. n
end

local function check_topic(what, topic)
  if type(topic) ~= "string" then
    fail(what .. " needs a topic (a string), not " .. an(kind_of(topic)))
  end
  if not topic:find("^[%w._-]+$") or #topic > 249 or topic == "." or topic == ".." then
    fail(what .. ": '" .. topic .. "' cannot be a topic: use letters, digits, '_', '-' and '.', at most 249")
  end
  return topic
end

---------------------------------------------------------------------------------------- schemas

local function object(kind, t)
  return c.object(kind, t)
end

local function new_schema(name, fields)
  local index, list = {}, {}
  for i, f in ipairs(fields) do index[f.name] = f; list[i] = f.name end
  return object("schema", { name = name, fields = fields, index = index, names = list })
end

-- A schema with further fields; a field of the same name is replaced if `replace`.
local function extend(schema, added, replace)
  local fields, at = {}, {}
  for i, f in ipairs(schema.fields) do fields[i] = f; at[f.name] = i end
  for _, f in ipairs(added) do
    if at[f.name] and replace then fields[at[f.name]] = f else fields[#fields + 1] = f end
  end
  return new_schema(schema.name, fields)
end

local function parse_type(what, v)
  if kind_of(v) == "label" then
    local f = parse_type(what, v.type)
    f.label, f.visible_after_ms = true, v.visible_after_ms
    return f
  end
  if type(v) ~= "string" then
    fail(what .. ': a type such as "long" or "string?" is needed, not ' .. an(kind_of(v)))
  end
  local t, nullable = c.field_type(v)
  if not t then fail(what .. ": " .. nullable) end
  return { type = t, nullable = nullable }
end

function weir.label(spec)
  c.line("label")
  if type(spec) ~= "table" then
    fail('weir.label is written weir.label{"boolean", visible_after = "7d"}')
  end
  local rest = {}
  for k, v in pairs(spec) do if k ~= 1 then rest[k] = v end end
  local o = options("weir.label", rest, { visible_after = "duration" })
  if o.visible_after == nil then
    fail('weir.label: visible_after is missing: how long after the record\'s time is the label known? ' ..
      '(weir.label{"boolean", visible_after = "7d"})')
  end
  parse_type("weir.label", spec[1])
  return object("label", { type = spec[1], visible_after_ms = o.visible_after })
end

function weir.schema(name, spec)
  local line, assigned = c.line("schema")
  if spec == nil then name, spec = assigned or "record", name end
  if type(name) ~= "string" or not name:find("^[%a_][%w_]*$") then
    fail("weir.schema: the name must be a word of letters, digits and '_'")
  end
  if type(spec) ~= "table" or c.kind(spec) then
    fail('weir.schema needs a table of fields: weir.schema{ id = "long", name = "string?" }')
  end
  local fields, seen = {}, {}
  local function add(field, v)
    if type(field) ~= "string" or field == "" then
      fail('weir.schema: a field is written name = "type", or {"name", "type"} in the list form')
    end
    if seen[field] then fail("weir.schema: field '" .. field .. "' is there twice") end
    seen[field] = true
    local f = parse_type("weir.schema: field '" .. field .. "'", v)
    f.name = field
    fields[#fields + 1] = f
  end
  if #spec > 0 then
    for _, e in ipairs(spec) do
      if type(e) ~= "table" then fail('weir.schema: the list form is { {"id", "long"}, … }') end
      add(e[1], e[2])
    end
    for k in pairs(spec) do
      if math.type(k) ~= "integer" then fail("weir.schema: use either the list form or name = \"type\", not both") end
    end
  else
    for _, k in ipairs(c.order(spec, line)) do add(k, spec[k]) end
  end
  if #fields == 0 then fail("weir.schema: there are no fields") end
  return new_schema(name, fields)
end

local function no_field(schema, name)
  return "no field '" .. tostring(name) .. "' in " .. schema.name .. hint(name, schema.names)
end

local function check_field(what, schema, name)
  if type(name) ~= "string" then fail(what .. " must be the name of a field, not " .. an(kind_of(name))) end
  if schema and not schema.index[name] then fail(what .. ": " .. no_field(schema, name)) end
  return name
end

local function type_of(schema, name)
  return schema and schema.index[name] and schema.index[name].type
end

---------------------------------------------------------------------------------------- codecs

local formats = { "json", "avro", "csv", "string", "long", "int", "double", "bytes" }

local function codec(format, schema, delimiter)
  return object("codec", { format = format, schema = schema, delimiter = delimiter })
end

local function need_schema(what, schema, optional)
  if schema == nil and optional then return nil end
  if kind_of(schema) ~= "schema" then
    fail(what .. " needs a schema (weir.schema{…}), not " .. an(kind_of(schema)))
  end
  return schema
end

function weir.json(schema)
  c.line("json")
  return codec("json", need_schema("weir.json", schema, true))
end

function weir.avro(schema)
  c.line("avro")
  return codec("avro", need_schema("weir.avro", schema))
end

function weir.csv(schema, opts)
  c.line("csv")
  local o = options("weir.csv", opts, { delimiter = "string" })
  if o.delimiter and #o.delimiter ~= 1 then fail("weir.csv: delimiter must be one character") end
  return codec("csv", need_schema("weir.csv", schema), o.delimiter)
end

-- The value option of what reads or writes a topic. `derived`: the schema at hand, if any.
local function value_codec(what, v, derived, writes)
  if v == nil then v = "json" end
  if kind_of(v) == "codec" then return v end
  if kind_of(v) == "schema" then fail(what .. ": value is a format: write value = weir.json(schema)") end
  v = one_of(what .. ": value", v, nil, formats)
  if v == "avro" or v == "csv" then
    if not writes then
      fail(what .. ': value = "' .. v .. '" needs its schema: write value = weir.' .. v .. "(schema)")
    end
    if not derived then
      fail(what .. ': value = "' .. v .. '" needs a schema, and that of this stream is not known (it ends at ' ..
        "a :map without schema, or the topic was read without one); write value = weir." .. v .. "(schema)")
    end
    for _, f in ipairs(derived.fields) do
      if f.type == "any" and v == "avro" then
        fail(what .. ": the type of field '" .. f.name .. "' is not known, and Avro needs it; give it in :with{ " ..
          f.name .. ' = {type = "double", function(t) … end} }')
      end
    end
    return codec(v, derived)
  end
  return codec(v, v == "json" and derived or nil)
end

---------------------------------------------------------------------------------------- parameters

function weir.param(name, default)
  c.line("param")
  if type(name) ~= "string" then fail('weir.param is written weir.param("name", default)') end
  local t = type(default)
  if t ~= "number" and t ~= "boolean" and t ~= "string" then
    fail("weir.param: '" .. name .. "' needs a default (a number, true/false or a string); its type is the parameter's type")
  end
  local text = c.param(name)
  if text == nil then return default end
  if t == "string" then return text end
  local value
  if t == "number" then
    value = tonumber(text)
    if math.type(default) == "integer" and value then value = math.tointeger(value) end
  else
    value = ({ ["true"] = true, ["false"] = false, yes = true, no = false, ["1"] = true, ["0"] = false })[text]
  end
  if value == nil then
    local wanted = t == "boolean" and "true or false" or
      (math.type(default) == "integer" and "a whole number" or "a number")
    fail("--set " .. name .. "=" .. text .. ": '" .. name .. "' must be " .. wanted)
  end
  return value
end

---------------------------------------------------------------------------------------- aggregates

-- weir.mean "f" or weir.mean{"f", delay = "7d"}; weir.count() or weir.count{delay = "7d"}
local function aggregate_spec(agg, needs_field)
  weir[agg] = function(spec)
    c.line(agg)
    local what = "weir." .. agg
    if type(spec) == "string" then spec = { spec } end
    if spec ~= nil and type(spec) ~= "table" then
      fail(what .. ': write ' .. what .. (needs_field and ' "field" or ' .. what .. '{"field", delay = "7d"}' or
        '() or ' .. what .. '{delay = "7d"}'))
    end
    local rest = {}
    for k, v in pairs(spec or {}) do if k ~= 1 then rest[k] = v end end
    local o = options(what, rest, { delay = "duration" })
    local field = spec and spec[1]
    if needs_field and type(field) ~= "string" then
      fail(what .. " needs a field: " .. what .. ' "amount"')
    elseif not needs_field and field ~= nil then
      fail(what .. " counts records and takes no field; count different values with weir.distinct \"field\"")
    end
    return object("aggregate", { agg = agg, field = field, delay_ms = o.delay })
  end
end

for _, agg in ipairs { "sum", "mean", "min", "max", "stddev", "last", "distinct" } do aggregate_spec(agg, true) end
aggregate_spec("count", false)

local numeric = { int = true, long = true, float = true, double = true, boolean = true, timestamp = true, any = true }

-- sum, mean and stddev need numbers.
local function check_numeric(what, agg, schema, field)
  local t = type_of(schema, field)
  if t and not numeric[t] and (agg == "sum" or agg == "mean" or agg == "stddev") then
    fail(what .. ": " .. agg .. " needs a number, but field '" .. field .. "' is " .. an(t))
  end
end

-- The type of an aggregate's result.
local function result_type(agg, schema, field)
  if agg == "count" or agg == "distinct" then return "long", false end
  if agg == "mean" or agg == "stddev" then return "double", true end
  local t = type_of(schema, field) or "any"
  if agg == "sum" then
    t = ({ int = "long", long = "long", boolean = "long", float = "double", double = "double" })[t] or t
  end
  return t, true
end
