-- Run with: puad test examples/registered
local url = "http://127.0.0.1:5060/RPC"
local config = { uri = "sip:registrar@example.com", url = url }
local options = { allow = { http = { "127.0.0.1:5060" } } }

-- As Kamailio 5.6 answers.
local function users(count)
	return { body = { jsonrpc = "2.0", result = { ["usrloc.registered_users"] = tostring(count) }, id = 1 } }
end

test.case("the number follows what Kamailio says", function()
	test.fake.http({ ["POST " .. url] = { users(0), users(2), users(2), users(1) } })
	test.load("registered.lua", config, options)
	test.expect_publish({
		presentity_uri = config.uri,
		event = "presence",
		operation = "initial",
		body_match = "<basic>open</basic>.*<note>0 registered</note>",
	})
	test.advance("30s")
	test.expect_publish({ operation = "modify", body_match = "<note>2 registered</note>" })
	test.advance("30s")
	test.expect_no_publish()
	test.advance("30s")
	test.expect_publish({ body_match = "<note>1 registered</note>" })
end)

test.case("it asks for the statistic", function()
	local asked
	test.fake.http(function(request)
		asked = json.decode(request.body)
		return users(7)
	end)
	test.load("registered.lua", config, options)
	test.expect_publish({ body_match = "7 registered" })
	test.eq(asked, {
		jsonrpc = "2.0",
		method = "stats.fetch",
		params = { "usrloc:registered_users" },
		id = 1,
	})
end)

test.case("with Kamailio away the last state is kept alive", function()
	local away = { code = "refused", message = "connection refused" }
	test.fake.http({ ["POST " .. url] = { users(3), away } })
	test.load("registered.lua", config, options)
	local first = test.expect_publish({ body_match = "3 registered" })
	test.expect_no_publish("2m")
	test.expect_publish({ operation = "refresh", etag = first.granted_etag, within = "10m" })
end)

test.case("answers that hold no number change nothing", function()
	local refused = { jsonrpc = "2.0", error = { code = 500, message = "Method Not Found" }, id = 1 }
	test.fake.http({
		["POST " .. url] = {
			users(3),
			{ status = 500, body = refused },
			{ status = 403, body = "Forbidden" },
			{ body = '{"jsonrpc":"2.0","result":{},"id":1}' },
			users(4),
		},
	})
	test.load("registered.lua", config, options)
	test.expect_publish({ body_match = "3 registered" })
	test.expect_no_publish("115s")
	test.expect_publish({ operation = "modify", body_match = "4 registered", within = "10s" })
end)
