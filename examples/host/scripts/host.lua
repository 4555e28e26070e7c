-- Publishes how a host is: a tuple each for CPU, memory and disk, closed above a threshold.
--
-- Configuration: uri (whose presence), interval (30s), disk_path ("/"), expires (10m); cpu, mem and
-- disk (percent, above which each is closed: 90, 90, 95); step (percent, 5): notes are rounded to it,
-- so that a figure that moves a little is no change and nothing is sent.
local cfg = config.schema({
	uri = "sip_uri",
	interval = { "duration", "30s" },
	cpu = { "number", 90 },
	mem = { "number", 90 },
	disk = { "number", 95 },
	disk_path = { "path", "/" },
	step = { "number", 5 },
	expires = { "duration", "10m" },
})
assert(cfg.step > 0, "step must be above 0")

local parts = {
	{ name = "cpu", limit = cfg.cpu, read = sys.cpu },
	{ name = "mem", limit = cfg.mem, read = sys.mem },
	{
		name = "disk",
		limit = cfg.disk,
		read = function()
			return sys.disk(cfg.disk_path)
		end,
	},
}

-- The last tuple of each part: one that cannot be read keeps it, over a reload too.
local last = script.state.tuples or {}
script.state.tuples = last

-- What is wrong at present, so that it is logged once and not at every sample.
local failing = {}

local function check(name, err)
	local code = err and err.code
	if code and code ~= failing[name] then
		log.warn(name .. " failed", { code = code, message = err.message })
	elseif failing[name] and not code then
		log.info(name .. " works again")
	end
	failing[name] = code
end

local function tuple(part, percent)
	local rounded = math.round(percent / cfg.step) * cfg.step
	return {
		id = "sys." .. part.name,
		basic = if percent > part.limit then "closed" else "open",
		note = ("%s %g%%"):format(part.name, rounded),
	}
end

timer.every(cfg.interval, function()
	local tuples = {}
	for _, part in parts do
		local figures, err = part.read()
		check(part.name, err)
		if figures then
			last[part.name] = tuple(part, figures.percent)
		end
		table.insert(tuples, last[part.name])
	end
	if #tuples == 0 then
		return
	end
	local _, err = pua.publish({
		presentity_uri = cfg.uri,
		event = "presence",
		id = "host",
		expires = cfg.expires,
		skip_unchanged = true,
		body = body.pidf({ entity = cfg.uri, tuples = tuples }),
	})
	check("publishing", err)
end, { name = "sample", immediate = true, jitter = "5s" })
