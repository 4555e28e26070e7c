-- Publishes from a calendar file whether somebody is busy: an activity, or none.
--
-- Reads a small part of iCalendar (RFC 5545), see lib/ics.lua. An entry with attendees is a "meeting",
-- any other an "appointment"; what is TRANSP:TRANSPARENT or cancelled keeps nobody busy.
-- Configuration: uri (whose presence), calendar (the file, which allow.fs names), show_summary (false:
-- what the entry is called stays here), expires (1h).
local ics = require("ics")
local cfg = config.schema({
	uri = "sip_uri",
	calendar = "path",
	show_summary = { "boolean", false },
	expires = { "duration", "1h" },
})

-- What is wrong at present, by what was done, so that it is logged once and not every minute.
local failing = {}

local function check(what, err)
	local code = err and err.code
	if code and code ~= failing[what] then
		log.warn(what .. " failed", { code = code, message = err.message })
	elseif failing[what] and not code then
		log.info(what .. " works again")
	end
	failing[what] = code
end

-- What was read last stays when the file cannot be read, over a reload too.
local function read()
	local calendar, err = ics.read(cfg.calendar, os.time())
	check("reading the calendar", err)
	if not calendar then
		return
	end
	script.state.entries = calendar.entries
	log.info("calendar read", { entries = #calendar.entries })
	if calendar.unread > 0 then
		log.warn("entries that are not read in full, see README.md", { entries = calendar.unread })
	end
end

-- Of several at a time, the one that began last.
local function current(now)
	local found
	for _, entry in script.state.entries do
		if entry.start <= now and now < entry.stop and (not found or entry.start > found.start) then
			found = entry
		end
	end
	return found
end

local function tell()
	if not script.state.entries then
		return
	end
	local entry = current(os.time())
	local person = entry
		and {
			id = "calendar-person",
			activities = entry.meeting and "meeting" or "appointment",
			note = if cfg.show_summary then entry.summary else nil,
		}
	local _, err = pua.publish({
		presentity_uri = cfg.uri,
		event = "presence",
		id = "calendar",
		expires = cfg.expires,
		skip_unchanged = true,
		body = body.pidf({
			entity = cfg.uri,
			tuples = { { id = "calendar", basic = "open", note = entry and "busy" or "free" } },
			persons = { person },
		}),
	})
	check("publishing", err)
end

read()
timer.cron("* * * * *", tell, { name = "minute" })
fs.watch(cfg.calendar, function()
	read()
	tell()
end)
script.on_ready(tell)
