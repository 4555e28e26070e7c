-- A voicemail box on disk becomes a message-waiting lamp.
--
-- Configuration: uri (whose lamp), box (a Maildir), expires (1h).
local cfg = config.schema({
	uri = "sip_uri",
	box = "path",
	expires = { "duration", "1h" },
})

mail.watch_maildir(cfg.box, function(n)
	local pub, err = pua.publish({
		presentity_uri = cfg.uri,
		event = "message-summary",
		expires = cfg.expires,
		body = body.mwi({ account = cfg.uri, voice = { new = n.unread, old = n.read } }),
	})
	if not pub then
		log.warn("lamp not set", { code = err.code, status = err.status, retrying = err.retrying })
	end
end)
