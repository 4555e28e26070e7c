-- Run with: puad test examples/calendar
-- Cases begin at 2026-01-01T00:00:00Z.
local config = { uri = "sip:alice@example.com", calendar = "alice.ics" }

local function calendar(...)
	local lines = { "BEGIN:VCALENDAR", "VERSION:2.0" }
	for _, event in { ... } do
		table.insert(lines, "BEGIN:VEVENT\r\n" .. table.concat(event, "\r\n") .. "\r\nEND:VEVENT")
	end
	table.insert(lines, "END:VCALENDAR\r\n")
	test.write("alice.ics", table.concat(lines, "\r\n"))
end

local function load(settings)
	test.load("calendar.lua", settings or config, { allow = { fs = { "." } } })
end

local function expect(note, activity, within)
	local request = test.expect_publish({
		presentity_uri = config.uri,
		event = "presence",
		body_match = `<basic>open</basic></status><note>{note}</note>`,
		within = within,
	})
	test.eq(request.body:match("<rpid:activities><rpid:([%w-]+)/>"), activity, "activity")
	return request
end

test.case("busy from the start of an entry to its end, and nobody learns what it is", function()
	calendar({
		"DTSTART:20260101T001000Z",
		"DTEND:20260101T004000Z",
		"SUMMARY:Dentist",
	})
	load()
	test.eq(expect("free").at < 1, true, "at once")
	local busy = expect("busy", "appointment", "11m")
	test.eq(math.floor(busy.at + 0.5), 600, "seconds into the case")
	test.eq(busy.body:find("Dentist"), nil)
	test.eq(math.floor(expect("free", nil, "31m").at + 0.5), 2400, "seconds into the case")
	test.expect_no_publish("10m")
end)

test.case("a file that changes counts at once", function()
	load()
	test.expect_no_publish("1m")
	calendar({
		"DTSTART:20251231T230000Z",
		"DTEND:20260101T020000Z",
		'ATTENDEE;CN="Bob: sales";PARTSTAT=ACCEPTED:mailto:bob@example.com',
		"SUMMARY;LANGUAGE=en:Budget\\, second",
		"  round",
	})
	expect("busy", "meeting", "1s")
	-- Gone for a while, as some programs do it: nothing is known, so nothing changes.
	test.remove("alice.ics")
	test.expect_no_publish("5m")
	calendar()
	expect("free", nil, "1s")
end)

test.case("the summary is told if the configuration says so", function()
	calendar({
		"DTSTART:20251231T230000Z",
		"DTEND:20260101T020000Z",
		"SUMMARY;LANGUAGE=en:Budget\\, second",
		"  round",
		"BEGIN:VALARM",
		"SUMMARY:Alarm",
		"END:VALARM",
	})
	load({ uri = config.uri, calendar = config.calendar, show_summary = true })
	test.expect_publish({ body_match = "<note>busy</note>.*<dm:note>Budget, second round</dm:note>" })
end)

test.case("local times, whole days, and what keeps nobody busy", function()
	-- The zone is that of the machine that runs this.
	local soon = os.date("%Y%m%dT%H%M%S", os.time() + 600)
	local later = os.date("%Y%m%dT%H%M%S", os.time() + 1200)
	local tomorrow = os.time() + 86400
	calendar(
		{ "DTSTART;TZID=Europe/Berlin:" .. soon, "DTEND;TZID=Europe/Berlin:" .. later },
		{ "DTSTART;VALUE=DATE:" .. os.date("%Y%m%d", tomorrow) },
		{ "DTSTART:20260101T000000Z", "DTEND:20260102T000000Z", "TRANSP:TRANSPARENT" },
		{ "DTSTART:20260101T000000Z", "DTEND:20260102T000000Z", "STATUS:CANCELLED" },
		{ "DTSTART:soon" }
	)
	-- Without a refresh on the way.
	load({ uri = config.uri, calendar = config.calendar, expires = "7d" })
	expect("free")
	test.eq(math.floor(expect("busy", "appointment", "11m").at + 0.5), 600)
	test.eq(math.floor(expect("free", nil, "11m").at + 0.5), 1200)
	local day = expect("busy", "appointment", "1d")
	test.eq(math.floor(expect("free", nil, "1d").at - day.at + 0.5), 86400)
end)

test.case("a reload sends nothing when nothing has changed", function()
	calendar({ "DTSTART:20251231T230000Z", "DTEND:20260101T020000Z" })
	load()
	local first = expect("busy", "appointment")
	test.reload()
	test.expect_no_publish("10m")
	test.expect_publish({ operation = "refresh", etag = first.granted_etag, within = "1h" })
end)
