-- Busy lamps from a file of call events, to which whatever handles the calls appends a line each:
--
--   2026-01-01T10:00:00Z CALL-ID EXTENSION STATE DIRECTION REMOTE
--
-- The time is UTC; STATE is trying, early, confirmed or terminated; DIRECTION is initiator or
-- recipient; REMOTE is a SIP URI, or - when nobody knows it. The file may be rotated or emptied.
--
-- Configuration: file (the events), domain (of the extensions' URIs), expires (1h), forget (a call
-- without an event for so long is over, 4h).
local cfg = config.schema({
	file = "path",
	domain = "string",
	expires = { "duration", "1h" },
	forget = { "duration", "4h" },
})

-- Carried over a reload: the calls that are up, and how far the file has been read. `head` is its
-- first line, by which a new file is told from the old one.
local state = script.state
state.calls = state.calls or {}
state.offset = state.offset or 0

local function parse(line)
	local time, id, extension, stage, direction, remote =
		line:match("^(%d+%-%d%d%-%d%dT%d%d:%d%d:%d%dZ) (%S+) ([%w._+-]+) (%l+) (%l+) (%S+)%s*$")
	if not time then
		return nil
	end
	return {
		key = `{extension} {id}`, -- one call may ring at several extensions
		time = time,
		id = id,
		extension = extension,
		state = stage,
		direction = direction,
		remote = if remote ~= "-" then { identity = remote } else nil,
	}
end

local function show(call)
	local uri = `sip:{call.extension}@{cfg.domain}`
	local publication = { presentity_uri = uri, event = "dialog", id = call.id, expires = 0 }
	if call.state ~= "terminated" then
		publication.expires = cfg.expires
		publication.skip_unchanged = true
		publication.body = body.dialog_info({
			entity = uri,
			state = "full",
			dialogs = { {
				id = call.id,
				call_id = call.id,
				direction = call.direction,
				state = call.state,
				["local"] = { identity = uri },
				remote = call.remote,
			} },
		})
	end
	-- Does not wait: one lamp must not keep the others from changing.
	local sent, err = pua.send_publish(publication)
	if not sent then
		log.warn("lamp not set", { uri = uri, code = err.code, status = err.status, retrying = err.retrying })
	end
end

local function apply(call)
	if call.time < os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() - cfg.forget) then
		call.state = "terminated"
	end
	local over = call.state == "terminated"
	if state.calls[call.key] or not over then
		show(call)
	end
	state.calls[call.key] = if over then nil else call
end

-- Takes the complete lines behind the offset. Only how each call stands after them is of interest.
local function take(text)
	local latest, bad, first = {}, 0, nil
	for line in text:sub(state.offset + 1):gmatch("[^\n]*\n") do
		state.offset += #line
		local call = parse(line)
		if call then
			latest[call.key] = if call.state ~= "terminated" or state.calls[call.key] then call else nil
		elseif line:match("%S") then
			bad += 1
			first = first or line
		end
	end
	if bad > 0 then
		log.warn("lines that are no events", { count = bad, first = first })
	end
	for _, call in latest do
		-- A state or a URI that is none raises where it is used; the other calls go on.
		local good, why = pcall(apply, call)
		if not good then
			log.warn("event not shown", { call = call.id, why = tostring(why) })
		end
	end
end

local function first_line(text)
	return text:match("^[^\n]*\n")
end

local function read_on()
	local text, err = fs.read(cfg.file, { max = "4MiB" })
	if not text then
		-- A file that is being rotated is away for a moment, and a reload ends what it meets waiting.
		if err.code ~= "not_found" and err.code ~= "cancelled" and err.code ~= state.trouble then
			state.trouble = err.code
			log.warn("events not read", { error = tostring(err) })
		end
		return
	end
	state.trouble = nil
	local head = first_line(text)
	if state.head and head ~= state.head then
		local old = fs.read(cfg.file .. ".1", { max = "4MiB" })
		if old and first_line(old) == state.head then
			take(old)
		end
	end
	if head ~= state.head or #text < state.offset then
		state.head, state.offset = head, 0
	end
	take(text)
end

-- When a new version has taken over, it declares what is up.
script.on_ready(function()
	for _, call in state.calls do
		show(call)
	end
end)

assert(fs.watch(cfg.file, read_on, { initial = true, settle = "50ms" }))

timer.every("5m", function()
	for _, call in table.clone(state.calls) do
		apply(call)
	end
end, { name = "forget" })
