-- Publishes how many subscribers are registered at a Kamailio, as the note of a presentity.
--
-- Asks Kamailio over HTTP (JSON-RPC); rpc.cfg beside puad.toml is what Kamailio needs for it.
-- Configuration: uri (whose presence), url (Kamailio's), interval (30s), expires (10m), statistic
-- ("usrloc:registered_users"; another one counts something else). `allow.http` names the url's host.
local cfg = config.schema({
	uri = "sip_uri",
	url = { "string", "http://127.0.0.1:5060/RPC" },
	statistic = { "string", "usrloc:registered_users" },
	interval = { "duration", "30s" },
	expires = { "duration", "10m" },
})

-- What is wrong at present, so that it is logged once and not each time. A failure leaves what is
-- published as it is; puad keeps it alive.
local trouble

local function failed(what, why)
	if trouble ~= what then
		log.warn(what, { url = cfg.url, why = why })
	end
	trouble = what
end

-- {"jsonrpc": "2.0", "result": {"usrloc.registered_users": "2"}, "id": 1}: the name with a dot, the
-- number as a text. A statistic that Kamailio does not have is left out of the result.
local function registered()
	local answer, err = http.request({
		url = cfg.url,
		timeout = "5s",
		json = { jsonrpc = "2.0", method = "stats.fetch", params = json.array({ cfg.statistic }), id = 1 },
	})
	if not answer then
		return nil, "no answer from Kamailio", tostring(err)
	end
	-- An error of the RPC comes as status 500 with JSON that says more.
	local reply = answer.json()
	if type(reply) ~= "table" then
		return nil, "Kamailio does not speak JSON-RPC here", `HTTP status {answer.status}`
	end
	if type(reply.error) == "table" then
		return nil, "Kamailio refuses", reply.error.message
	end
	local result = reply.result
	local count = type(result) == "table" and tonumber(result[(cfg.statistic:gsub(":", "."))])
	if not count then
		return nil, "Kamailio has no such statistic", cfg.statistic
	end
	return count
end

timer.every(cfg.interval, function()
	local count, what, why = registered()
	if not count then
		return failed(what, why)
	end
	local pub, err = pua.publish({
		presentity_uri = cfg.uri,
		event = "presence",
		id = "registered",
		expires = cfg.expires,
		skip_unchanged = true,
		body = body.pidf({
			entity = cfg.uri,
			tuples = { { id = "registered", basic = "open", note = ("%d registered"):format(count) } },
		}),
	})
	if not pub then
		return failed("not published", tostring(err))
	end
	if trouble then
		log.info("works again", { registered = count })
	end
	trouble = nil
end, { name = "ask", immediate = true })
