-- Run with: puad test examples/queue-length
local config = { uri = "sip:support@example.com", command = { "sh", "queue.sh" }, busy = 5, interval = "10s" }

local function asterisk(waiting)
	return `support has {waiting} calls (max unlimited) in 'rrmemory' strategy (12s holdtime, 45s talktime), `
		.. "W:0, C:27, A:4, SL:88.9%, SL2:88.9% within 60s\n   Members: \n      PJSIP/201 (Not in use) has taken 7 calls\n"
end

local function load(outputs)
	test.fake.exec({ ["sh queue.sh"] = outputs })
	test.load("queue_length.lua", config, { allow = { exec = { "sh" } } })
end

test.case("the number is a note, and too many close the queue", function()
	load({ asterisk(0), asterisk(4), asterisk(4), asterisk(5), "3\n" })
	test.expect_publish({
		presentity_uri = config.uri,
		event = "presence",
		operation = "initial",
		expires = "10m",
		body_match = "<basic>open</basic>.*<note>nobody waiting</note>",
	})
	test.advance("10s")
	test.expect_publish({ operation = "modify", body_match = "<basic>open</basic>.*<note>4 waiting</note>" })
	test.expect_no_publish("10s")
	test.advance("10s")
	test.expect_publish({ body_match = "<basic>closed</basic>.*<note>5 waiting</note>" })
	-- A command of one's own may print the number alone.
	test.advance("10s")
	test.expect_publish({ body_match = "<basic>open</basic>.*<note>3 waiting</note>" })
end)

test.case("a command that fails leaves the last state up", function()
	local away = { code = 1, stderr = "Unable to connect to remote asterisk\n" }
	load({ asterisk(2), away, { code = "timeout", message = "took too long" }, "no such queue\n", asterisk(6) })
	local first = test.expect_publish({ operation = "initial", body_match = "2 waiting" })
	test.expect_no_publish("30s")
	test.advance("10s")
	test.expect_publish({ operation = "modify", etag = first.granted_etag, body_match = "6 waiting" })
end)

test.case("a new version keeps it up too, before the command works again", function()
	load({ asterisk(2), { code = 1 } })
	local first = test.expect_publish({ operation = "initial", body_match = "2 waiting" })
	test.advance("10s")
	test.reload()
	test.expect_no_publish("3m")
	test.expect_publish({ operation = "refresh", etag = first.granted_etag, within = "10m" })
end)
