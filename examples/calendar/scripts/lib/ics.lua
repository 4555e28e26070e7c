-- Reads the entries of a calendar file: of each VEVENT its DTSTART, DTEND, SUMMARY, TRANSP and STATUS,
-- and whether it has an ATTENDEE (RFC 5545). README.md says what is not read.
local ics = {}

-- 20260105T090000Z, 20260105T090000 (the time of this machine) or 20260105 (from its midnight on).
-- Returns seconds since 1970, and whether it is a whole day.
local function time(text)
	local year, month, day, rest = text:match("^(%d%d%d%d)(%d%d)(%d%d)(.*)$")
	if not year then
		return nil
	end
	local hour, min, sec, utc = rest:match("^T(%d%d)(%d%d)(%d%d)(Z?)$")
	if not hour and rest ~= "" then
		return nil
	end
	-- os.time takes the fields for UTC.
	local at = os.time({ year = year, month = month, day = day, hour = hour or 0, min = min or 0, sec = sec or 0 })
	if utc == "Z" then
		return at, false
	end
	local function offset(moment)
		return os.time(os.date("*t", moment)) - moment
	end
	-- Twice, because the offset wanted is the one at the time sought.
	return at - offset(at - offset(at)), not hour
end

-- A line that begins with a blank goes on with the line before it.
local function unfolded(path)
	local next_line, err = fs.lines(path)
	if not next_line then
		return nil, err
	end
	local ahead = next_line()
	return function()
		local parts = { ahead }
		repeat
			ahead = next_line()
			local more = ahead and ahead:match("^[ \t](.*)")
			table.insert(parts, more)
		until not more
		return parts[1] and (table.concat(parts):gsub("\r", ""))
	end
end

-- "DTSTART;TZID=Europe/Berlin:2026…" is DTSTART and 2026…
local function property(line)
	local name, rest = line:match("^([%w-]+)(.*)$")
	if not name then
		return nil
	end
	-- Quoted values of parameters may hold a colon.
	local found
	repeat
		rest, found = rest:gsub('^(;[^:"]*)"[^"]*"', "%1")
	until found == 0
	return name:upper(), rest:match("^[^:]*:(.*)$")
end

local unescaped = { n = "\n", N = "\n" }

local function entry_of(event)
	local start, whole_day = time(event.DTSTART or "")
	local stop = event.DTEND and time(event.DTEND)
	if not event.DTEND and start then
		-- Without an end a day is a day, and a moment takes no time.
		stop = if whole_day then time(event.DTSTART) + 86400 else start
	end
	if not start or not stop then
		return nil
	end
	return {
		start = start,
		stop = stop,
		meeting = event.ATTENDEE ~= nil,
		summary = event.SUMMARY and event.SUMMARY:gsub("\\(.)", function(c)
			return unescaped[c] or c
		end),
	}
end

-- Returns `entries`, those that keep somebody busy and are not over, and `unread`: how many say more
-- than is read of them (that they repeat, for one).
function ics.read(path, now)
	local lines, err = unfolded(path)
	if not lines then
		return nil, err
	end
	local entries, unread, inside, event = {}, 0, {}, {}
	for line in lines do
		local name, value = property(line)
		if name == "BEGIN" then
			table.insert(inside, value)
			event = if value == "VEVENT" then {} else event
		elseif name == "END" then
			table.remove(inside)
			if value == "VEVENT" and event.TRANSP ~= "TRANSPARENT" and event.STATUS ~= "CANCELLED" then
				local entry = entry_of(event)
				if not entry or event.RRULE or event.RDATE or event.DURATION then
					unread += 1
				end
				if entry and entry.stop > now then
					table.insert(entries, entry)
				end
			end
		elseif name and inside[#inside] == "VEVENT" then
			-- Not those of an alarm inside it.
			event[name] = value
		end
	end
	return { entries = entries, unread = unread }
end

return ics
