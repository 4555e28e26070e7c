-- A door as presence: asks a sensor over HTTP, which answers {"open": true} or {"open": false}.
-- A sensor that does not answer several times in a row makes the door closed, with a note; it is
-- asked less often until it is back.
--
-- Configuration: uri (whose presence), sensor (URL; its host is named in allow.http), interval (5s),
-- away_after (so many failures in a row, 3), away_interval (1m), expires (10m).
local cfg = config.schema({
	uri = "sip_uri",
	sensor = "string",
	interval = { "duration", "5s" },
	away_after = { "number", 3 },
	away_interval = { "duration", "1m" },
	expires = { "duration", "10m" },
})

-- Carried over a reload: what is shown (basic, note), the failures in a row, when to ask next.
local state = script.state
state.failures = state.failures or 0

local function ask()
	local answer, err = http.get(cfg.sensor, { timeout = "3s", max_bytes = "64KiB" })
	if not answer then
		-- A wait that a reload ends, or a check, says nothing about the sensor.
		return nil, if err.code ~= "cancelled" then tostring(err) else nil
	end
	if answer.status ~= 200 then
		return nil, `the sensor answered {answer.status}`
	end
	local reading, bad = answer.json()
	if bad then
		return nil, tostring(bad)
	end
	if type(reading) ~= "table" or type(reading.open) ~= "boolean" then
		return nil, `"open" is neither true nor false in {answer.body}`
	end
	return reading
end

local function show(basic, note)
	state.basic, state.note = basic, note
	local pub, err = pua.publish({
		presentity_uri = cfg.uri,
		event = "presence",
		id = "door",
		expires = cfg.expires,
		skip_unchanged = true,
		body = body.pidf({
			entity = cfg.uri,
			tuples = { { id = "door", basic = basic, note = note } },
		}),
	})
	if not pub then
		log.warn("not published", { code = err.code, status = err.status, retrying = err.retrying })
	end
end

-- When a new version has taken over, it declares what is up: the sensor may be away just now.
script.on_ready(function()
	if state.basic then
		show(state.basic, state.note)
	end
end)

timer.every(cfg.interval, function(firing)
	if state.ask_at and firing.scheduled < state.ask_at then
		return
	end
	local reading, trouble = ask()
	if reading then
		if state.failures >= cfg.away_after then
			log.info("the sensor is back")
		end
		state.failures, state.ask_at = 0, nil
		show(if reading.open then "open" else "closed", if reading.open then "door open" else "door closed")
		return
	end
	if not trouble then
		return
	end
	state.failures += 1
	if state.failures == cfg.away_after then
		log.warn("no word from the sensor", { failures = state.failures, error = trouble })
	end
	if state.failures >= cfg.away_after then
		state.ask_at = firing.scheduled + cfg.away_interval
		show("closed", "no word from the sensor")
	end
end, { name = "poll", immediate = true })
