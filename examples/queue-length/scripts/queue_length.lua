-- The length of a queue as presence: the number of callers as a note, closed when there are too many.
-- The number comes from the output of a command: the one in "has 3 calls", as Asterisk prints it, or
-- a number alone on a line.
--
-- Configuration: uri (whose presence), command (program and arguments, run in this script's folder
-- and named in allow.exec), busy (so many callers are too many, 5), interval (10s), expires (10m).
local cfg = config.schema({
	uri = "sip_uri",
	command = "list",
	busy = { "number", 5 },
	interval = { "duration", "10s" },
	expires = { "duration", "10m" },
})

-- Carried over a reload: the last number that was read, and what is wrong since.
local state = script.state

local function ask()
	local command = table.clone(cfg.command)
	command.timeout = "5s"
	local result, err = exec.run(command)
	if not result then
		-- A wait that a reload ends, or a check, says nothing about the queue.
		return nil, if err.code ~= "cancelled" then tostring(err) else nil
	end
	if result.code ~= 0 then
		local how = if result.code then `exit code {result.code}` else `signal {result.signal}`
		return nil, `{cfg.command[1]} ended with {how}: {result.stderr:match("[^\n]*")}`
	end
	local waiting = result.stdout:match("has (%d+) calls?") or ("\n" .. result.stdout .. "\n"):match("\n%s*(%d+)%s*\n")
	if not waiting then
		return nil, `no number of callers in {result.stdout:match("[^\n]*")}`
	end
	return tonumber(waiting)
end

local function show(waiting)
	local pub, err = pua.publish({
		presentity_uri = cfg.uri,
		event = "presence",
		id = "queue",
		expires = cfg.expires,
		skip_unchanged = true,
		body = body.pidf({
			entity = cfg.uri,
			tuples = {
				{
					id = "queue",
					basic = if waiting < cfg.busy then "open" else "closed",
					note = if waiting == 0 then "nobody waiting" else `{waiting} waiting`,
				},
			},
		}),
	})
	if not pub then
		log.warn("not published", { code = err.code, status = err.status, retrying = err.retrying })
	end
end

-- When a new version has taken over, it declares what is up, even if the command does not work now.
script.on_ready(function()
	if state.waiting then
		show(state.waiting)
	end
end)

timer.every(cfg.interval, function()
	local waiting, trouble = ask()
	if not waiting then
		-- The last state stays up, and the log is told once, not at every tick.
		if trouble and trouble ~= state.trouble then
			log.warn("queue not read", { error = trouble })
			state.trouble = trouble
		end
		return
	end
	if state.trouble then
		log.info("queue is read again")
	end
	state.trouble, state.waiting = nil, waiting
	show(waiting)
end, { name = "ask", immediate = true })
