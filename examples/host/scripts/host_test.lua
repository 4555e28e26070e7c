-- Run with: puad test examples/host
local config = { uri = "sip:web1@example.com", cpu = 90, mem = 80, disk = 95 }

test.case("a tuple each, closed above its threshold", function()
	test.fake.sys({ cpu = { 12, 97 }, mem = 41, disk = 80 })
	test.load("host.lua", config)
	test.expect_publish({
		presentity_uri = config.uri,
		event = "presence",
		operation = "initial",
		body_match = '"sys.cpu"><status><basic>open</basic></status><note>cpu 10%%</note>.*'
			.. '"sys.mem"><status><basic>open</basic></status><note>mem 40%%</note>.*'
			.. '"sys.disk"><status><basic>open</basic></status><note>disk 80%%</note>',
	})
	test.advance("30s")
	test.expect_publish({
		operation = "modify",
		body_match = '"sys.cpu"><status><basic>closed</basic></status><note>cpu 95%%</note>.*mem 40%%',
	})
end)

test.case("a figure that moves a little sends nothing", function()
	test.fake.sys({ cpu = { 12, 9, 11, 8, 20 }, mem = 41, disk = 80 })
	test.load("host.lua", config)
	test.expect_publish({ body_match = "cpu 10%%" })
	test.expect_no_publish("115s")
	test.expect_publish({ operation = "modify", body_match = "cpu 20%%", within = "10s" })
end)

test.case("a figure that cannot be read keeps what was known", function()
	local gone = { code = "not_found", message = "no such file or directory" }
	test.fake.sys({ cpu = 12, mem = { 41, 85 }, disk = { 96, gone, gone, 50 } })
	test.load("host.lua", config)
	test.expect_publish({ body_match = 'mem 40%%.*"sys.disk"><status><basic>closed' })
	test.advance("30s")
	test.expect_publish({ body_match = 'mem 85%%.*"sys.disk"><status><basic>closed.*disk 95%%' })
	test.advance("1m")
	test.expect_publish({ body_match = '"sys.disk"><status><basic>open.*disk 50%%' })
end)

test.case("a reload sends nothing when nothing has changed", function()
	test.fake.sys({ cpu = 12, mem = 41, disk = 80 })
	test.load("host.lua", config)
	local first = test.expect_publish({ operation = "initial" })
	test.reload()
	test.expect_no_publish("3m")
	-- Kept alive all the while.
	test.expect_publish({ operation = "refresh", etag = first.granted_etag, within = "7m" })
end)
