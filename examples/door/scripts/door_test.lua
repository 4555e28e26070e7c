-- Run with: puad test examples/door
local sensor = "http://127.0.0.1:8080/door.json"
local config = { uri = "sip:door@example.com", sensor = sensor, interval = "5s", away_interval = "1m" }
local down = { code = "refused", message = "connection refused" }

local asked = 0
local function load(answers)
	asked = 0
	test.fake.http(function(request)
		test.eq(request.url, sensor)
		asked += 1
		return answers[math.min(asked, #answers)]
	end)
	test.load("door.lua", config, { allow = { http = { "127.0.0.1:8080" } } })
end

local OPEN, CLOSED = '{"open": true}', '{"open": false}'

test.case("the presence follows the door", function()
	load({ CLOSED, CLOSED, OPEN })
	test.expect_publish({
		presentity_uri = config.uri,
		event = "presence",
		operation = "initial",
		expires = "10m",
		body_match = "<basic>closed</basic>.*<note>door closed</note>",
	})
	test.expect_no_publish("5s")
	test.advance("5s")
	test.expect_publish({ operation = "modify", body_match = "<basic>open</basic>.*<note>door open</note>" })
end)

test.case("a sensor that is away closes the door, and is asked less often", function()
	load({ OPEN, down, 500, '{"open": 1}', down, OPEN })
	test.expect_publish({ body_match = "<basic>open</basic>" })
	-- Two failures are nothing yet.
	test.expect_no_publish("10s")
	test.advance("5s")
	test.expect_publish({ body_match = "<basic>closed</basic>.*<note>no word from the sensor</note>" })
	test.eq(asked, 4)
	test.expect_no_publish("1m")
	test.eq(asked, 5)
	test.expect_publish({ body_match = "<basic>open</basic>.*<note>door open</note>", within = "1m" })
	test.advance("5s")
	test.eq(asked, 7)
end)

test.case("a new version keeps it up while the sensor is away", function()
	load({ OPEN, down })
	test.expect_publish({ operation = "initial" })
	test.advance("15s")
	local last = test.expect_publish({ operation = "modify", body_match = "no word" })
	test.reload()
	test.expect_no_publish("3m")
	test.expect_publish({ operation = "refresh", etag = last.granted_etag, within = "10m" })
end)
