-- Run with: puad test examples/busy-lamp
local config = { file = "calls/events.log", domain = "example.com", forget = "4h" }
local events = "calls/events.log"
local written = ""

local function append(line)
	written ..= line
	test.write(events, written)
end

local function load()
	written = ""
	test.write("calls/")
	test.load("busy_lamp.lua", config, { allow = { fs = { "calls" } } })
end

test.case("a call lights the lamp, and its end puts it out", function()
	load()
	append("2026-01-01T00:00:00Z c1 201 early recipient sip:alice@example.com\n")
	local first = test.expect_publish({
		presentity_uri = "sip:201@example.com",
		event = "dialog",
		operation = "initial",
		expires = "1h",
		body_match = '<dialog id="c1" call%-id="c1" direction="recipient"><state>early</state>',
	})
	assert(first.body:find("<identity>sip:alice@example.com</identity>", 1, true), first.body)
	append("2026-01-01T00:00:05Z c1 201 confirmed recipient sip:alice@example.com\n")
	test.expect_publish({ operation = "modify", etag = first.granted_etag, body_match = "<state>confirmed</state>" })
	append("2026-01-01T00:01:00Z c1 201 terminated recipient sip:alice@example.com\n")
	test.expect_publish({ presentity_uri = "sip:201@example.com", operation = "remove" })
	test.expect_no_publish("2h")
end)

test.case("calls side by side are publications of their own", function()
	load()
	append("2026-01-01T00:00:00Z c1 201 trying initiator -\n")
	test.expect_publish({ operation = "initial", body_match = 'id="c1".*<state>trying' })
	append("2026-01-01T00:00:00Z c2 201 confirmed recipient -\n")
	local second = test.expect_publish({ operation = "initial", body_match = 'id="c2".*<state>confirmed' })
	-- A line that is half written is left for later, what is no event is passed over.
	append("what is this\n2026-01-01T00:00:07Z c3 201 early recipient sip:a@<b>\n2026-01-01T00:00:09Z c2 201 termi")
	test.expect_no_publish("1m")
	append("nated recipient -\n")
	test.expect_publish({ operation = "remove", etag = second.granted_etag })
	test.expect_no_publish()
end)

test.case("a file that is rotated is read to its end, then the new one", function()
	load()
	append("2026-01-01T00:00:00Z c1 201 confirmed initiator -\n")
	local first = test.expect_publish({ operation = "initial" })
	test.write(events .. ".1", written .. "2026-01-01T00:00:10Z c1 201 terminated initiator -\n")
	test.write(events, "2026-01-01T00:00:11Z c2 202 early recipient -\n")
	test.expect_publish({ operation = "remove", etag = first.granted_etag })
	test.expect_publish({ presentity_uri = "sip:202@example.com", operation = "initial" })
	-- Emptied in place, and written from its beginning again.
	test.write(events, "")
	test.advance("1s")
	test.write(events, "2026-01-01T00:00:12Z c2 202 terminated recipient -\n")
	test.expect_publish({ presentity_uri = "sip:202@example.com", operation = "remove" })
	test.expect_no_publish()
end)

test.case("a reload sends nothing, and goes on where it was", function()
	load()
	append("2026-01-01T00:00:00Z c1 201 confirmed initiator -\n")
	local first = test.expect_publish({ operation = "initial" })
	test.reload()
	test.expect_no_publish("5m")
	append("2026-01-01T00:05:00Z c1 201 terminated initiator -\n")
	test.expect_publish({ operation = "remove", etag = first.granted_etag })
end)

test.case("what happened before the start counts, a call that nobody ended is forgotten", function()
	written = ""
	append("2025-12-31T09:00:00Z c0 201 confirmed initiator -\n")
	append("2025-12-31T23:59:00Z c1 202 confirmed initiator -\n")
	append("2025-12-31T23:59:10Z c2 203 confirmed initiator -\n2025-12-31T23:59:20Z c2 203 terminated initiator -\n")
	test.load("busy_lamp.lua", config, { allow = { fs = { "calls" } } })
	local first = test.expect_publish({ presentity_uri = "sip:202@example.com", operation = "initial" })
	test.advance("3h50m")
	while true do
		local request = test.expect_publish({ presentity_uri = "sip:202@example.com", within = "20m" })
		if request.operation == "remove" then
			assert(request.at >= 4 * 3600 - 60, request.at)
			break
		end
		test.eq(request.operation, "refresh")
	end
	test.expect_no_publish("1h")
end)
