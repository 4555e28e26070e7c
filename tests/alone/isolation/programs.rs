//! The programs: how each one runs away, and how it may end.

/// One program; it stands in the body of a function.
pub struct Program {
    pub name: &'static str,
    /// What may end it: which limit comes first can depend on the collector.
    pub ends: &'static [End],
    pub source: &'static str,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By the limit of CPU.
    Cpu,
    /// By the limit of memory.
    Memory,
    /// By the depth of the stack.
    Stack,
    /// By an ordinary error: the call was refused.
    Error,
    /// By itself, soon.
    Bounded,
    /// By something the host has no name for; nothing may.
    Other,
}

const fn program(name: &'static str, ends: &'static [End], source: &'static str) -> Program {
    Program { name, ends, source }
}

const CPU: &[End] = &[End::Cpu];
const MEMORY: &[End] = &[End::Memory];
const STACK: &[End] = &[End::Stack];
const ERROR: &[End] = &[End::Error];
const BOUNDED: &[End] = &[End::Bounded];
const HEAVY: &[End] = &[End::Cpu, End::Memory];
const REFUSED: &[End] = &[End::Error, End::Memory];
const DEEP: &[End] = &[End::Stack, End::Memory, End::Cpu];

#[rustfmt::skip]
pub const PROGRAMS: &[Program] = &[
    // Loops.
    program("while", CPU, "while true do end"),
    program("repeat", CPU, "repeat local x = 1 until false"),
    program("numeric for", CPU, "for i = 1, math.huge do end"),
    program("generic for", CPU, "for _ in function() return 1 end do end"),
    program("continue", CPU, "while true do continue end"),
    program("tail calls", STACK, "local function f() return f() end f()"),
    program("tail calls in turn", STACK, "local f, g function f() return g() end function g() return f() end f()"),
    program("calls of the host", CPU, "while true do sys.load() end"),
    program("reads of the host", CPU, "while true do mail.maildir('/nothing') end"),
    program("next over what was", CPU, "local t = {} for i = 1, 1e5 do t[i] = i end for i = 1, 1e5 do t[i] = nil end while true do next(t) end"),
    // Metamethods and callbacks.
    program("__index", CPU, "return setmetatable({}, { __index = function() while true do end end }).x"),
    program("__newindex", CPU, "setmetatable({}, { __newindex = function() while true do end end }).x = 1"),
    program("__eq", CPU, "local m = { __eq = function() while true do end end } return setmetatable({}, m) == setmetatable({}, m)"),
    program("__lt in a sort", CPU, "local m = { __lt = function() while true do end end } table.sort { setmetatable({}, m), setmetatable({}, m) }"),
    program("__len", CPU, "return #setmetatable({}, { __len = function() while true do end end })"),
    program("__concat", CPU, "return '' .. setmetatable({}, { __concat = function() while true do end end })"),
    program("__call", CPU, "setmetatable({}, { __call = function() while true do end end })()"),
    program("__iter", CPU, "for _ in setmetatable({}, { __iter = function() while true do end end }) do end"),
    program("__tostring", CPU, "tostring(setmetatable({}, { __tostring = function() while true do end end }))"),
    program("__tostring in an interpolation", CPU, "local t = setmetatable({}, { __tostring = function() while true do end end }) return `{t}`"),
    program("a callback of sort", CPU, "table.sort({ 3, 2, 1 }, function() while true do end end)"),
    program("sort without an order", CPU, "local t = {} for i = 1, 1000 do t[i] = i end while true do pcall(table.sort, t, function() return true end) end"),
    program("sort by chance", CPU, "local t = {} for i = 1, 1000 do t[i] = i end while true do pcall(table.sort, t, function() return math.random() < 0.5 end) end"),
    program("a callback of gsub", CPU, "('x'):gsub('.', function() while true do end end)"),
    program("a table of gsub", CPU, "('x'):gsub('.', setmetatable({}, { __index = function() while true do end end }))"),
    program("table.foreach", CPU, "table.foreach({ 1 }, function() while true do end end)"),
    // Coroutines.
    program("wrap in a loop", CPU, "while true do coroutine.wrap(function() end)() end"),
    program("a loop in wrap", CPU, "coroutine.wrap(function() while true do end end)()"),
    program("a loop in resume", CPU, "while true do coroutine.resume(coroutine.create(function() while true do end end)) end"),
    program("a generator without end", CPU, "for _ in coroutine.wrap(function() while true do coroutine.yield(1) end end) do end"),
    program("close in a loop", CPU, "while true do coroutine.close(coroutine.create(function() end)) end"),
    program("yield to nobody", ERROR, "while true do coroutine.yield() end"),
    program("yield to nobody under pcall", CPU, "while true do pcall(coroutine.yield) end"),
    // Errors that are caught.
    program("pcall around a loop", CPU, "while true do pcall(function() while true do end end) end"),
    program("pcall in pcall", CPU, "while true do pcall(pcall, pcall, function() while true do end end) end"),
    program("pcall of itself", DEEP, "local function f() pcall(f) pcall(f) end f()"),
    program("pcall of an error", CPU, "while true do pcall(error) end"),
    program("a loop in an xpcall handler", CPU, "xpcall(error, function() while true do end end)"),
    program("xpcall whose handler goes on", CPU, "local function f() while true do end end while true do xpcall(f, f) end"),
    program("xpcall whose handler fails", CPU, "while true do xpcall(error, error) end"),
    program("xpcall in its own handler", DEEP, "local function f() xpcall(error, f) while true do end end f()"),
    program("pcall in a wrap in a pcall", CPU, "while true do pcall(coroutine.wrap(function() while true do pcall(function() while true do end end) end end)) end"),
    program("an error that never shows", CPU, "error(setmetatable({}, { __tostring = function() while true do end end }))"),
    program("an error that shows an error", ERROR, "error(setmetatable({}, { __tostring = function() error('again') end }))"),
    program("an error that is large", ERROR, "local s = ('x'):rep(2^22) local t = {} for i = 1, 1000 do t['f' .. i] = s end error(t)"),
    program("an error that is a long text", REFUSED, "error(('x'):rep(2^23))"),
    program("assert with a long text", REFUSED, "assert(false, ('x'):rep(2^23))"),
    // Patterns.
    program("backtracking in find", CPU, "return ('a'):rep(60):find(('a?'):rep(60) .. ('a'):rep(60))"),
    program("backtracking in match", CPU, "return ('a'):rep(200):match(('a*'):rep(20) .. 'b')"),
    program("backtracking in gmatch", CPU, "for _ in ('a'):rep(200):gmatch(('.-'):rep(20) .. 'b') do end"),
    program("backtracking in gsub", CPU, "return ('a'):rep(200):gsub(('.*'):rep(20) .. 'b', '')"),
    program("balances", CPU, "return ('('):rep(1e6):find('%b()')"),
    program("back references", CPU, "return ('a'):rep(1e6):find('(.*)%1b')"),
    program("frontiers", CPU, "while true do ('a'):rep(1e6):find('%f[b]') end"),
    program("a set as long as the text", ERROR, "return ('a'):rep(2^22):find('[' .. ('b'):rep(2^22) .. 'a]*$')"),
    program("a set in gsub", ERROR, "return ('a'):rep(2^23):gsub('[' .. ('b'):rep(2^20) .. 'a]+x', '')"),
    program("long sets in a loop", CPU, "local s, p = ('a'):rep(2^22), '[' .. ('b'):rep(40) .. 'a]*x' while true do s:find(p) end"),
    program("plain texts", CPU, "local a, b = ('a'):rep(4e6), ('a'):rep(2e6) .. 'b' while true do a:find(b, 1, true) end"),
    program("short plain texts", CPU, "local a, b = ('a'):rep(8e6), ('a'):rep(63) .. 'b' while true do a:find(b, 1, true) end"),
    program("gsub of every byte", HEAVY, "local s = ('a'):rep(2^22) while true do s:gsub('a', 'bb') end"),
    // Libraries that work on much at once.
    program("table.move of nothing", ERROR, "table.move({}, 1, 2^31 - 2, 2)"),
    program("table.move backwards", ERROR, "table.move({}, -2^30, 2^30 - 2, -2^30 + 1)"),
    program("table.move in a loop", CPU, "local t = table.create(1e6, 1) while true do table.move(t, 1, 1e6, 2) end"),
    program("insert with a false length", BOUNDED, "local t = setmetatable({}, { __len = function() return 1e9 end }) table.insert(t, 1, 1)"),
    program("insert at the front", HEAVY, "local t = table.create(5e5, 1) while true do table.insert(t, 1, 1) end"),
    program("remove at the front", CPU, "while true do local t = table.create(5e5, 1) for _ = 1, 1e4 do table.remove(t, 1) end end"),
    program("concat", HEAVY, "local t = table.create(1e6, 'abc') while true do table.concat(t, ',') end"),
    program("concat with a false end", ERROR, "table.concat({}, '', 1, 2^31 - 1)"),
    program("unpack of much", ERROR, "return table.unpack({}, 1, 2^30)"),
    program("unpack into the host", &[End::Error, End::Memory, End::Bounded], "print(table.unpack(table.create(9e5, 'x')))"),
    program("tables into the host", &[End::Error, End::Memory, End::Bounded], "local t = {} for i = 1, 5e5 do t[i] = '' .. i end print(table.unpack(t))"),
    program("sort of numbers", CPU, "local t = {} while true do for i = 1, 1e6 do t[i] = (i * 7919) % 1000003 end table.sort(t) end"),
    program("sort of long texts", CPU, "local s, t = {}, {} for i = 1, 50 do s[i] = ('x'):rep(2e5) .. i end for i = 1, 1e6 do t[i] = s[(i * 7919) % 50 + 1] end table.sort(t)"),
    program("table.create of much", ERROR, "table.create(1e9, 1)"),
    program("clone, find, freeze", HEAVY, "local t = table.create(5e5, 1) while true do table.find(table.freeze(table.clone(t)), 2) end"),
    program("rep of nothing", BOUNDED, "string.rep('', 2^31 - 1)"),
    program("rep of much", &[End::Memory, End::Error], "string.rep('x', 2^31 - 1)"),
    program("rep in a loop", HEAVY, "while true do string.rep('x', 2^23) end"),
    program("format", HEAVY, "local s = ('x'):rep(2^22) while true do string.format('%s%s', s, s) end"),
    program("upper, lower, reverse", HEAVY, "local s = ('x'):rep(2^22) while true do s:upper():lower():reverse() end"),
    program("split", HEAVY, "local s = ('x,'):rep(2^18) while true do s:split(',') end"),
    program("split by a long text", HEAVY, "local s = ('x'):rep(2^22) while true do s:split(('x'):rep(63) .. 'y') end"),
    program("byte of all", ERROR, "return ('x'):rep(2^23):byte(1, -1)"),
    program("pack", HEAVY, "local f = ('x'):rep(2^22) while true do string.pack(f) end"),
    program("packsize", CPU, "local f = ('i8'):rep(2^20) while true do pcall(string.packsize, f) end"),
    program("unpack of texts", CPU, "local s = ('x'):rep(2^20) while true do string.unpack(('B'):rep(200), s) end"),
    program("utf8", CPU, "local s = ('ä'):rep(2^21) while true do utf8.len(s) utf8.offset(s, 2^20) end"),
    program("utf8.codes", CPU, "local s = ('ä'):rep(2^21) while true do for _ in utf8.codes(s) do end end"),
    program("bit32", CPU, "local x = 1 while true do x = bit32.lrotate(bit32.bxor(x, 5), 3) end"),
    program("buffers", HEAVY, "local b = buffer.create(2^23) while true do buffer.fill(b, 0, 1) buffer.tostring(b) end"),
    program("os.date of digits", HEAVY, "local f = ('%w'):rep(2^21) while true do os.date(f) end"),
    program("os.date", &[End::Cpu, End::Memory, End::Error], "local f = ('%c'):rep(2^22) while true do os.date(f) end"),
    program("numbers as long texts", CPU, "local s = ('1'):rep(2^23) while true do tonumber(s) tonumber(s, 16) end"),
    program("lines of the log", HEAVY, "local s = ('x'):rep(2^22) while true do log.info(s, { a = s }) end"),
    // Recursion.
    program("recursion", STACK, "local function f() return 1 + f() end f()"),
    program("recursion by wrap", STACK, "local function f() coroutine.wrap(f)() end f()"),
    program("recursion by resume", DEEP, "local function f() local ok, e = coroutine.resume(coroutine.create(f)) if not ok then error(e, 0) end end f()"),
    program("recursion by gsub", STACK, "local function f() ('x'):gsub('.', f) end f()"),
    program("recursion by sort", STACK, "local function f() table.sort({ 2, 1 }, f) end f()"),
    program("recursion by __index", STACK, "local t t = setmetatable({}, { __index = function(_, k) return t[k] end }) return t.x"),
    program("recursion by __tostring", STACK, "local t t = setmetatable({}, { __tostring = function() return tostring(t) end }) tostring(t)"),
    program("recursion by pcall", DEEP, "local function f() local ok, e = pcall(f) error(e, 0) end f()"),
    program("recursion by xpcall", DEEP, "local function f() local ok, e = xpcall(f, function(e) return e end) error(e, 0) end f()"),
    program("recursion by foreach", STACK, "local function f() table.foreach({ 1 }, f) end f()"),
    program("recursion by require", ERROR, "require 'itself'"),
    program("recursion by tasks", &[End::Bounded, End::Memory, End::Error], "local function f() return task.all { f } end f()"),
    program("captures in captures", ERROR, "return ('x'):find(('('):rep(1000))"),
    program("a pattern that is too deep", ERROR, "return ('x'):rep(1000):find(('x?'):rep(1000) .. 'y')"),
    // Memory.
    program("a list that grows", MEMORY, "local t = {} while true do t[#t + 1] = #t end"),
    program("a table that grows", MEMORY, "local t = {} while true do t[{}] = {} end"),
    program("texts", MEMORY, "local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end"),
    program("a text that doubles", MEMORY, "local s = 'x' while true do s = s .. s end"),
    program("an interpolation that doubles", MEMORY, "local s = 'x' while true do s = `{s}{s}` end"),
    program("coroutines", MEMORY, "local t = {} while true do t[#t + 1] = coroutine.create(function() end) end"),
    program("coroutines that have begun", MEMORY, "local t = {} while true do t[#t + 1] = coroutine.wrap(coroutine.yield) t[#t]() end"),
    program("closures", MEMORY, "local t = {} while true do local x = #t t[#t + 1] = function() return x end end"),
    program("large buffers", MEMORY, "local t = {} while true do t[#t + 1] = buffer.create(2^20) end"),
    program("tables in tables", MEMORY, "local t = {} while true do t = { t } end"),
    program("what the host makes", HEAVY, "local t = {} while true do t[#t + 1] = sys.cpu() end"),
    program("bodies", HEAVY, "local t = {} while true do t[#t + 1] = body.mwi { waiting = true } end"),
    program("memory under pcall", CPU, "while true do pcall(function() local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end end) end"),
    program("a large text under pcall", CPU, "while true do pcall(string.rep, 'x', 2^30) end"),
    program("memory under xpcall", HEAVY, "local t = {} while true do xpcall(function() while true do t[#t + 1] = {} end end, function(e) t[#t + 1] = {} end) end"),
    program("memory in gsub", MEMORY, "('x'):rep(100):gsub('.', function() local t = {} while true do t[#t + 1] = {} end end)"),
    program("memory in a sort", MEMORY, "table.sort({ 2, 1 }, function() local t = {} while true do t[#t + 1] = {} end end)"),
    program("memory in a coroutine", MEMORY, "coroutine.wrap(function() local t = {} while true do t[#t + 1] = {} end end)()"),
    program("memory that stays", HEAVY, "local t = {} pcall(function() while true do t[#t + 1] = {} end end) while true do pcall(sys.cpu) end"),
    // What the host would build outside of the heap.
    program("a document of one text", REFUSED, "local s, t = ('x'):rep(2^22), {} for i = 1, 1000 do t[i] = { id = 't' .. i, note = s } end body.pidf { entity = 'sip:a@example.com', tuples = t }"),
    program("a document of one part", REFUSED, "local p = { id = 'x' } body.pidf { entity = 'sip:a@example.com', tuples = table.create(1e6, p) }"),
    program("headers of messages", REFUSED, "local m = { Subject = ('x'):rep(2^22) } body.mwi { waiting = true, headers = table.create(1000, m) }"),
    program("headers", REFUSED, "pua.send_publish { presentity_uri = 'sip:a@example.com', event = 'presence', extra_headers = { ['X-A'] = table.create(1e4, ('x'):rep(2^20)) } }"),
    program("headers of a request", REFUSED, "http.get('http://example.com/', { headers = { a = table.create(1e5, ('x'):rep(2^20)) } })"),
    program("words for a program", REFUSED, "local t = table.create(1e5, ('x'):rep(2^20)) t[1] = 'df' exec.run(t)"),
    program("proxies", REFUSED, "pua.send_publish { presentity_uri = 'sip:a@example.com', event = 'presence', outbound_proxy = table.create(1e4, 'sip:' .. ('x'):rep(2^20)) }"),
    program("a long URI", ERROR, "pua.send_publish { presentity_uri = 'sip:' .. ('x'):rep(2^23), event = 'presence' }"),
    program("documents", &[End::Cpu, End::Memory, End::Bounded], "local s = ('x'):rep(2^22) for i = 1, 1000 do pua.send_publish { presentity_uri = 'sip:a@example.com', event = 'presence', id = 'd' .. i, body = s } end"),
    program("fields of the log", BOUNDED, "local s, t = ('x'):rep(2^22), {} for i = 1, 1000 do t['f' .. i] = s end log.info('x', t)"),
    program("print of one text", BOUNDED, "print(table.unpack(table.create(5000, ('x'):rep(2^22))))"),
    program("names of timers", &[End::Error, End::Cpu], "local s = ('x'):rep(2^22) for i = 1, 1000 do timer.after(100, print, { name = s }) end"),
    program("paths to watch", &[End::Error, End::Bounded], "assert(fs.watch(table.create(1e5, ('x'):rep(2^16)), print))"),
    program("what ends a script", &[End::Cpu, End::Error], "while true do script.on_stop(function() end) end"),
    program("a schema", ERROR, "local t = {} for i = 1, 1e5 do t['k' .. i] = 'string' end config.schema(t)"),
    program("a dialog of one text", REFUSED, "local s, t = ('x'):rep(2^20), {} for i = 1, 1000 do t['p' .. i] = s end body.dialog_info { entity = 'sip:a@example.com', dialogs = { { id = 'a', ['local'] = { params = t } } } }"),
    program("users of a conference", REFUSED, "local u = { entity = 'sip:a@example.com' } local t = {} for i = 1, 1e5 do t[i] = u end body.conference { entity = 'sip:c@example.com', users = t }"),
    program("JSON of a graph", REFUSED, "local t = { 1 } for i = 1, 40 do t = { t, t } end json.encode(t)"),
    program("JSON of one text", REFUSED, "json.encode(table.create(1e4, ('x'):rep(2^20)))"),
    program("JSON that is deep", &[End::Bounded], "assert(not json.decode(('['):rep(2^22)))"),
    program("JSON in a loop", HEAVY, "local s = '[' .. ('1,'):rep(5e4) .. '1]' while true do json.encode(json.decode(s)) end"),
    program("JSON of many tables", &[End::Bounded, End::Memory], "json.decode('[' .. ('{},'):rep(2^20) .. '{}]')"),
    program("XML that is deep", &[End::Bounded], "assert(not xml.parse(('<a>'):rep(2^20)))"),
    program("XML of many names", &[End::Bounded, End::Memory], "xml.parse('<a ' .. ('b=\"c\" '):rep(2^18) .. '/>')"),
    program("XML in a loop", HEAVY, "local s = '<a>' .. ('<b c=\"d\"/>'):rep(2e4) .. '</a>' while true do xml.parse(s) end"),
    program("XML of escapes", HEAVY, "local s = ('<'):rep(2^21) while true do xml.escape(s) end"),
    program("documents that are read", HEAVY, "local s = '<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:a@example.com\">' .. ('<tuple id=\"a\"><status/></tuple>'):rep(1e4) .. '</presence>' while true do body.parse('application/pidf+xml', s) end"),
    program("kv of large values", &[End::Cpu, End::Bounded, End::Memory], "local s = ('x'):rep(2^20) for i = 1, 1e6 do kv.set('k' .. i, s) end"),
    program("kv in a loop", CPU, "local n = 0 while true do n += 1 kv.set('k' .. n, n) end"),
    program("names of metrics", &[End::Cpu, End::Bounded], "for i = 1, 1e6 do metrics.counter('m' .. i) end"),
    program("timers at times", CPU, "while true do timer.cron('*/5 * * * *', print) timer.at('14:00', print) end"),
    program("a time that never comes", &[End::Bounded, End::Error, End::Cpu], "for _ = 1, 100 do pcall(timer.cron, '0 0 30 2 *', print) end"),
    // Tasks and timers.
    program("tasks that wait", HEAVY, "while true do task.spawn(sleep, 3600) end"),
    program("tasks that make tasks", CPU, "local function f() task.spawn(f) end task.spawn(f) sleep(3600)"),
    program("tasks that double", HEAVY, "local function f() task.spawn(f) task.spawn(f) end task.spawn(f) sleep(3600)"),
    program("task.all of much", &[End::Bounded, End::Cpu, End::Memory], "task.all(table.create(1e6, function() end))"),
    program("timers", CPU, "while true do timer.after(3600, print) end"),
    program("a task without end", CPU, "task.spawn(function() while true do end end) sleep(3600)"),
];
