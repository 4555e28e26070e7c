-- Run with: puad test examples/voicemail
local config = { uri = "sip:alice@example.com", box = "Maildir" }

local function load()
	test.write("Maildir/new/")
	test.write("Maildir/cur/")
	test.load("voicemail.lua", config)
	return test.expect_publish({
		presentity_uri = config.uri,
		event = "message-summary",
		operation = "initial",
		body_match = "^Messages%-Waiting: no\r\n",
	})
end

test.case("the lamp follows the mails", function()
	load()
	test.write("Maildir/new/1.host", "hello")
	test.expect_publish({
		operation = "modify",
		body = "Messages-Waiting: yes\r\nMessage-Account: sip:alice@example.com\r\nVoice-Message: 1/0\r\n",
	})
	-- Read by a mail program: moved, and marked as seen.
	test.remove("Maildir/new/1.host")
	test.write("Maildir/cur/1.host:2,S", "hello")
	test.expect_publish({ body_match = "^Messages%-Waiting: no\r\n.*Voice%-Message: 0/1\r\n" })
	test.expect_no_publish("10m")
end)

test.case("mails that come together are one change", function()
	load()
	for number = 1, 20 do
		test.write(`Maildir/new/{number}.host`, "")
	end
	test.expect_publish({ body_match = "Voice%-Message: 20/0" })
	test.expect_no_publish("1m")
end)

test.case("a reload sends nothing when nothing has changed", function()
	local first = load()
	test.reload()
	test.expect_no_publish("2m")
	test.write("Maildir/new/1.host", "")
	test.expect_publish({ operation = "modify", etag = first.granted_etag })
end)
