-- Publishes this machine's CPU use as presence: closed when it is busy, the figure as a note.
--
-- Configuration: uri (whose presence), interval (10s), busy (percent, 95), expires (10m).
local cfg = config.schema({
	uri = "sip_uri",
	interval = { "duration", "10s" },
	busy = { "number", 95 },
	expires = { "duration", "10m" },
})

timer.every(cfg.interval, function()
	local cpu = sys.cpu()
	local pub, err = pua.publish({
		presentity_uri = cfg.uri,
		event = "presence",
		id = "cpu",
		expires = cfg.expires,
		body = body.pidf({
			entity = cfg.uri,
			tuples = {
				{
					id = "cpu",
					basic = cpu.percent < cfg.busy and "open" or "closed",
					note = ("cpu %.0f%%"):format(cpu.percent),
				},
			},
		}),
	})
	if not pub then
		log.warn("not published", { code = err.code, status = err.status, retrying = err.retrying })
	end
end, { name = "sample", immediate = true, jitter = "1s" })
