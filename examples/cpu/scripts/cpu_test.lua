-- Run with: puad test examples/cpu
local config = { uri = "sip:web1@example.com", interval = "10s", busy = 95 }

test.case("open while there is room, closed when busy", function()
	test.fake.sys({ cpu = { 12, 96, 40 } })
	test.load("cpu.lua", config)
	test.expect_publish({
		presentity_uri = config.uri,
		event = "presence",
		operation = "initial",
		expires = "10m",
		body_match = "<basic>open</basic>.*<note>cpu 12%%</note>",
	})
	test.advance("10s")
	test.expect_publish({ operation = "modify", body_match = "<basic>closed</basic>.*cpu 96%%" })
	test.advance("10s")
	test.expect_publish({ operation = "modify", body_match = "<basic>open</basic>.*cpu 40%%" })
end)

test.case("a server that is busy is left alone for as long as it asks", function()
	test.fake.sys({ cpu = 12 })
	test.sip.reply(503, { ["Retry-After"] = 60 })
	test.load("cpu.lua", config)
	test.eq(test.expect_publish().status, 503)
	test.expect_no_publish("59s")
	test.expect_publish({ operation = "initial", body_match = "cpu 12%%", within = "1m" })
end)

test.case("a server that has lost its state gets it again", function()
	test.fake.sys({ cpu = { 12, 13 } })
	test.load("cpu.lua", config)
	test.expect_publish({ operation = "initial" })
	test.sip.reply(412)
	test.advance("10s")
	test.eq(test.expect_publish({ operation = "modify" }).status, 412)
	test.expect_publish({ operation = "initial", etag = false, body_match = "cpu 13%%" })
end)
