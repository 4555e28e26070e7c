-- Publishes @COUNT@ presentities, 64 calls in flight, and says before and after that it does.
local filler = string.rep("x", 280)
local function publish(user)
	local uri = `sip:{user}@bench.example`
	local body = `Messages-Waiting: yes\r\nMessage-Account: {uri}\r\nVoice-Message: 1/2 (0/0)\r\nSubject: {filler}\r\n`
	assert(pua.publish({ presentity_uri = uri, event = "message-summary", body = body, expires = 20, refresh = "empty" }))
end

publish("ready")
local next = 0
local workers = {}
for _ = 1, 64 do
	table.insert(workers, function()
		while next < @COUNT@ do
			next += 1
			publish(`user{next}`)
		end
	end)
end
task.all(workers)
publish("done")
