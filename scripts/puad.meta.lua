---@meta
-- What puad gives to scripts, for editors with LuaLS (lua-language-server).
-- Written by `puad stubs`; changes belong into puad's table of signatures.

---Seconds, or a text such as "500ms", "30s", "5m", "1h30m", "1d".
---@alias Duration number|string

---What a function of `sys` returns in a test: one figure, some of the fields, an error, or a list
---of answers one after the other.
---@alias TestFigure string|number|table<any, any>

---A failure of the world. `tostring(err)` is one line.
---@class Error
---@field code "sip"|"timeout"|"dns"|"refused"|"tls"|"io"|"not_found"|"permission"|"limit"|"conflict"|"parse"|"http"|"cancelled"|"closed" What kind of failure it is, to branch on.
---@field message string What happened, for people.
---@field op? string The call that failed.
---@field status? number Set by a SIP answer that was received, and by nothing else.
---@field reason? string The reason phrase of that answer.
---@field retry_after? number Seconds until the next attempt at the earliest.
---@field retrying? boolean Whether puad goes on by itself.
---@field cause? "waiting"|"lane"|"timer_f" What a call that timed out was waiting for: a later attempt, its turn, or an answer.
---@field line? number Where a text could not be read (code "parse"), from 1.
---@field column? number The column there, from 1.

---What `pua.publish` is told.
---@class (exact) PublishOptions
---@field presentity_uri string Whose state: Request-URI, To and From.
---@field event? string The event package, such as "presence", "message-summary" or "dialog;sla".
---@field event_package? string Another name of `event`.
---@field id? string Tells publications of one resource and package apart. Default: "default".
---@field body? string|Body A text, or what `body.*` made; without one the document is kept and refreshed.
---@field content_type? string The type of the document. Default: by package.
---@field expires? Duration What each PUBLISH asks for; 0 removes the publication. Default: 3600.
---@field lifetime? Duration|"forever" How long puad keeps the state up after this call. Default: "forever".
---@field etag? string Starts from this entity-tag, while puad holds none itself.
---@field outbound_proxy? string|string[] A SIP URI or a list; with `;lr` it is sent as a Route too. Default: by account.
---@field extra_headers? string|table<string, string|number|(string|number)[]> Names and values (or lists of values), or lines of text; replaces the previous set.
---@field account? string Picks credentials by name. Default: by domain.
---@field refresh? "empty"|"body" What a refresh carries; "body" for servers that forget or misread empty refreshes. Default: by package.
---@field skip_unchanged? boolean Sends nothing when document and headers are those published. Default: false.
---@field min_interval? Duration At most one PUBLISH per interval; the latest state wins. Default: 0.
---@field on_stop? "keep"|"remove" What an orderly stop of puad does with it. Default: "remove".
---@field on_orphan? "remove"|"keep" What becomes of it when the script does not declare it any more, or goes away. Default: "remove".
---@field timeout? Duration How long the call waits; the request goes on. Default: 64 * T1 + 3 s.
---@field on_state? fun(state: PublicationState) Is told of every change.

---What `:update` is told; what is left out stays as it was.
---@class (exact) UpdateOptions
---@field body? string|Body A text, or what `body.*` made; without one the document is kept and refreshed.
---@field content_type? string The type of the document. Default: by package.
---@field expires? Duration What each PUBLISH asks for; 0 removes the publication. Default: 3600.
---@field lifetime? Duration|"forever" How long puad keeps the state up after this call. Default: "forever".
---@field etag? string Starts from this entity-tag, while puad holds none itself.
---@field outbound_proxy? string|string[] A SIP URI or a list; with `;lr` it is sent as a Route too. Default: by account.
---@field extra_headers? string|table<string, string|number|(string|number)[]> Names and values (or lists of values), or lines of text; replaces the previous set.
---@field account? string Picks credentials by name. Default: by domain.
---@field refresh? "empty"|"body" What a refresh carries; "body" for servers that forget or misread empty refreshes. Default: by package.
---@field skip_unchanged? boolean Sends nothing when document and headers are those published. Default: false.
---@field min_interval? Duration At most one PUBLISH per interval; the latest state wins. Default: 0.
---@field on_stop? "keep"|"remove" What an orderly stop of puad does with it. Default: "remove".
---@field on_orphan? "remove"|"keep" What becomes of it when the script does not declare it any more, or goes away. Default: "remove".
---@field timeout? Duration How long the call waits; the request goes on. Default: 64 * T1 + 3 s.
---@field on_state? fun(state: PublicationState) Is told of every change.

---What `on_state` is told.
---@class PublicationState
---@field state "published"|"refreshed"|"recovered"|"retrying"|"failed"|"removed" What has happened.
---@field status? number The answer behind it, if one was received.
---@field reason? string Its reason phrase.
---@field etag? string The entity-tag now held.
---@field expires? number Seconds that the server has granted.
---@field error? Error Why it failed.

---What is known of a publication. Times are UNIX seconds. One that has ended has a key and a state
---only.
---@class PublicationInfo
---@field key string What `puad show` takes.
---@field state "pending"|"published"|"retrying"|"failed"|"removed" How it is.
---@field presentity_uri? string Whose state it is.
---@field event? string The event package.
---@field id? string Its id.
---@field owner? string Who declared it.
---@field etag? string The entity-tag now held.
---@field expires_at? number When the server would forget it.
---@field next_refresh? number When the next PUBLISH is due.
---@field status? number The latest answer.
---@field reason? string Its reason phrase.
---@field requests? number PUBLISH requests sent so far.
---@field failures? number How many of them failed.
---@field last_error? string Why the latest of those did.

---A publication lives in puad: dropping the variable does not end it. The fields are the latest
---word of the server.
---@class Publication
---@field key string What `puad show` takes.
---@field sent boolean Whether a PUBLISH went out for the latest call.
---@field status? number The latest answer.
---@field reason? string Its reason phrase.
---@field etag? string The entity-tag now held.
---@field expires? number Seconds that the server has granted.
local Publication = {}

---Publishes again; what is left out stays as it was.
---@param options? UpdateOptions
---@return Publication?
---@return Error? err code sip, timeout, dns, refused, tls, io, conflict, limit, cancelled, closed
function Publication:update(options) end

---Refreshes now.
---@return Publication?
---@return Error? err code sip, timeout, dns, refused, tls, io, not_found, conflict, limit, cancelled, closed
function Publication:refresh() end

---Takes the state down.
---@return Publication?
---@return Error? err code sip, timeout, dns, refused, tls, io, not_found, conflict, limit, cancelled, closed
function Publication:remove() end

---Returns what is known of it.
---@return PublicationInfo
function Publication:info() end

---Publishing event state.
---@class pualib
pua = {}

---Sets the wanted state of one publication and waits for the server's word on it. Kamailio's order
---of arguments works too, with "." for none: there `lifetime` is `expires`, and a negative one
---means for ever.
---@param options PublishOptions
---@return Publication?
---@return Error? err code sip, timeout, dns, refused, tls, io, conflict, limit, cancelled, closed
---@overload fun(presentity_uri: string, expires: Duration, event: string, content_type?: string, id?: string, etag?: string, outbound_proxy?: string, extra_headers?: string, body?: string|Body): Publication?, Error?
function pua.publish(options) end

---The same without waiting; how it ends is logged and told to `on_state`.
---@param options PublishOptions
---@return Publication?
---@return Error? err code limit, closed
---@overload fun(presentity_uri: string, expires: Duration, event: string, content_type?: string, id?: string, etag?: string, outbound_proxy?: string, extra_headers?: string, body?: string|Body): Publication?, Error?
function pua.send_publish(options) end

---Lists this script's own publications.
---@return PublicationInfo[]
function pua.publications() end

---Presence of somebody.
---@class Pidf
---@field entity string Whose presence.
---@field tuples? Tuple[] Ways of reaching them, or other things with a state.
---@field persons? Person[] The person.
---@field devices? Device[] Their devices.
---@field note? string A remark for people.

---One way of reaching somebody.
---@class Tuple
---@field id string Tells tuples apart; keep it stable.
---@field basic? "open"|"closed" Whether it can be used.
---@field class? string A group of the author's own (RFC 4480).
---@field user_input? "active"|"idle"|UserInput Whether somebody is using it.
---@field device_id? string The device behind it.
---@field contact? string A URI.
---@field priority? number Of the contact, from 0 to 1.
---@field note? string A remark for people.
---@field timestamp? string|number When it became so.

---A person (RFC 4479). In what was read one without a note shows that of the whole document.
---@class Person
---@field id string Tells persons apart.
---@field class? string A group of the author's own (RFC 4480).
---@field activities? string|string[] Such as "meeting" or "on-the-phone".
---@field mood? string|string[] Such as "happy".
---@field user_input? "active"|"idle"|UserInput Whether somebody is using it.
---@field note? string A remark for people.
---@field timestamp? string|number When it became so.

---A device (RFC 4479).
---@class Device
---@field id string Tells devices apart.
---@field class? string A group of the author's own (RFC 4480).
---@field user_input? "active"|"idle"|UserInput Whether somebody is using it.
---@field device_id string A URN.
---@field note? string A remark for people.
---@field timestamp? string|number When it became so.

---Whether somebody is using it, and since when not.
---@class UserInput
---@field state "active"|"idle" Which of the two.
---@field idle_threshold? Duration How long without input counts as idle.
---@field last_input? string|number When the latest input was.

---What lies in a mailbox.
---@class Mwi
---@field waiting? boolean Follows from the counts when left out.
---@field account? string The mailbox.
---@field voice? Count Voice messages.
---@field fax? Count Faxes.
---@field pager? Count Pager messages.
---@field multimedia? Count Multimedia messages.
---@field text? Count Text messages.
---@field other? table<string, Count> Other classes of messages, by name.
---@field headers? table<string, string>[] Headers of single messages.

---How many messages.
---@class Count
---@field new? number Not heard.
---@field old? number Heard.
---@field urgent_new? number Not heard, and urgent.
---@field urgent_old? number Heard, and urgent.

---Calls of somebody.
---@class DialogInfo
---@field entity string Whose calls.
---@field version? number Counted when left out.
---@field state? "full"|"partial" Whether it tells of everything ("full") or of changes.
---@field dialogs? Dialog[] The calls.

---A call.
---@class Dialog
---@field id string Tells calls apart.
---@field call_id? string Its Call-ID.
---@field local_tag? string The tag of this side.
---@field remote_tag? string The tag of the other side.
---@field direction? "initiator"|"recipient" Who has called.
---@field state "trying"|"proceeding"|"early"|"confirmed"|"terminated" How far it is.
---@field reason? "cancelled"|"rejected"|"replaced"|"local-bye"|"remote-bye"|"error"|"timeout" What ended it.
---@field code? number The status code behind its state.
---@field duration? Duration How long it has lasted.
---@field replaces? Replaces The call it replaces.
---@field referred_by? ReferredBy Who has transferred it.
---@field route_set? string[] URIs on its way.
---@field local? Participant This side; in Lua `["local"]`.
---@field remote? Participant The other side.

---A side of a call.
---@class Participant
---@field identity? string Its URI.
---@field display? string The name shown to people.
---@field target? string The URI of its Contact header.
---@field params? table<string, string> Parameters of that header.
---@field session_description? SessionDescription What it offers.
---@field cseq? number Its latest CSeq.

---A description of media.
---@class SessionDescription
---@field type string Its media type.
---@field text string The description.

---The call that another one replaces.
---@class Replaces
---@field call_id string Its Call-ID.
---@field local_tag string The tag of this side.
---@field remote_tag string The tag of the other side.

---Who has transferred a call.
---@class ReferredBy
---@field identity string Their URI.
---@field display? string The name shown to people.

---Who is registered where.
---@class Reginfo
---@field version? number Counted when left out.
---@field state? "full"|"partial" Whether it tells of everything ("full") or of changes.
---@field registrations? Registration[] The addresses of record.

---An address of record.
---@class Registration
---@field aor string Its URI.
---@field id string Tells registrations apart.
---@field state "init"|"active"|"terminated" Whether somebody is registered.
---@field contacts? Contact[] Where they are.

---Where somebody is registered.
---@class Contact
---@field id string Tells contacts apart.
---@field uri string The address.
---@field state "active"|"terminated" Whether it counts.
---@field event "registered"|"created"|"refreshed"|"shortened"|"expired"|"deactivated"|"probation"|"unregistered"|"rejected" What made it so.
---@field expires? Duration How long it holds; needed when the event is "shortened".
---@field retry_after? Duration When to try again; needed when the event is "probation".
---@field duration? Duration How long it has been registered.
---@field q? number Its preference, from 0 to 1.
---@field call_id? string The Call-ID of its REGISTER.
---@field cseq? number The CSeq of its REGISTER.
---@field display? string The name shown to people.
---@field params? table<string, string> Further parameters of its Contact header.
---@field pub_gruu? string Its public GRUU.
---@field temp_gruu? TemporaryGruu Its temporary GRUU.

---A temporary GRUU (RFC 5628).
---@class TemporaryGruu
---@field uri string The URI.
---@field first_cseq number The CSeq that made it.

---A conference.
---@class Conference
---@field entity string Its URI.
---@field version? number Counted when left out.
---@field state? "full"|"partial"|"deleted" Whether it tells of everything ("full").
---@field description? string|ConferenceDescription What it is; a text is the name shown to people.
---@field host? ConferenceHost Who holds it.
---@field conference_state? ConferenceState How it is.
---@field users? ConferenceUser[] Who takes part.
---@field users_state? "full"|"partial" Whether `users` is the whole list; as the document when left out.
---@field sidebars_by_ref? Link[] Conferences beside it.
---@field sidebars_by_val? Conference[] The same, written out.

---What a conference is.
---@class ConferenceDescription
---@field display? string The name shown to people.
---@field subject? string What it is about.
---@field free_text? string More on it.
---@field keywords? string|string[] Words to find it by.
---@field conf_uris? Link[] How to get in.
---@field service_uris? Link[] Where services around it are.
---@field maximum_user_count? number How many may take part.
---@field available_media? AvailableMedia[] What it offers.

---A medium that a conference offers.
---@class AvailableMedia
---@field label string Tells media apart.
---@field type string Such as "audio".
---@field display? string The name shown to people.
---@field status? "sendrecv"|"sendonly"|"recvonly"|"inactive" Which way it flows.

---Who holds a conference.
---@class ConferenceHost
---@field display? string The name shown to people.
---@field web_page? string Their page.
---@field uris? Link[] How to reach them.

---How a conference is.
---@class ConferenceState
---@field user_count? number How many take part.
---@field active? boolean Whether it is held now.
---@field locked? boolean Whether nobody gets in.

---Who takes part in a conference.
---@class ConferenceUser
---@field entity string Their URI.
---@field display? string The name shown to people.
---@field state? "full"|"partial"|"deleted" Whether it tells of everything ("full").
---@field associated_aors? Link[] Other addresses of theirs.
---@field roles? string|string[] Such as "participant".
---@field languages? string|string[] What they speak.
---@field cascaded_focus? string The conference behind them, if they are one.
---@field endpoints? Endpoint[] What they take part with.

---What somebody takes part in a conference with.
---@class Endpoint
---@field entity string Its URI.
---@field display? string The name shown to people.
---@field state? "full"|"partial"|"deleted" Whether it tells of everything ("full").
---@field referred? Step Who has brought it in.
---@field status? "pending"|"dialing-out"|"dialing-in"|"alerting"|"on-hold"|"connected"|"muted-via-focus"|"disconnecting"|"disconnected" How far it is.
---@field joining_method? "dialed-in"|"dialed-out"|"focus-owner" How it came in.
---@field joining_info? Step More on that.
---@field disconnection_method? "departed"|"booted"|"failed"|"busy" How it went.
---@field disconnection_info? Step More on that.
---@field media? ConferenceMedia[] Its media.
---@field call_info? CallInfo Its call.

---A medium of somebody who takes part.
---@class ConferenceMedia
---@field id string Tells media apart.
---@field state? "full"|"partial"|"deleted" Whether it tells of everything ("full").
---@field display? string The name shown to people.
---@field type? string Such as "audio".
---@field label? string The medium of the conference.
---@field src_id? string Its SSRC.
---@field status? "sendrecv"|"sendonly"|"recvonly"|"inactive" Which way it flows.

---The call of somebody who takes part.
---@class CallInfo
---@field display? string The name shown to people.
---@field call_id string Its Call-ID.
---@field from_tag string Its From tag.
---@field to_tag string Its To tag.

---Something that was done.
---@class Step
---@field when? string|number When.
---@field reason? string Why.
---@field by? string By whom.

---A URI with a name.
---@class Link
---@field uri string The URI.
---@field display? string The name shown to people.
---@field purpose? string What it is for.

---Who watches somebody.
---@class Watcherinfo
---@field version? number Counted when left out.
---@field state? "full"|"partial" Whether it tells of everything ("full") or of changes.
---@field lists? WatcherList[] By resource and package.

---The watchers of a resource.
---@class WatcherList
---@field resource string Who is watched.
---@field package string The event package.
---@field watchers? Watcher[] Who watches.

---Somebody who watches.
---@class Watcher
---@field id string Tells watchers apart.
---@field uri string Who it is.
---@field status "pending"|"active"|"waiting"|"terminated" How far it is.
---@field event "subscribe"|"approved"|"deactivated"|"probation"|"rejected"|"timeout"|"giveup"|"noresource" What made it so.
---@field display? string The name shown to people.
---@field expiration? Duration How long it will go on.
---@field duration? Duration How long it has gone on.

---A document with its type.
---@class Body
---@field content_type string Its media type.
---@field text string The document; one that is counted shows version 0.

---Documents to publish, and those that came in.
---@class bodylib
body = {}

---Presence (RFC 3863, 4479, 4480).
---@param document Pidf
---@return Body
function body.pidf(document) end

---Message waiting (RFC 3842).
---@param document Mwi
---@return Body
function body.mwi(document) end

---Dialogs, for busy lamps (RFC 4235).
---@param document DialogInfo
---@return Body
function body.dialog_info(document) end

---Registrations (RFC 3680).
---@param document Reginfo
---@return Body
function body.reginfo(document) end

---A conference (RFC 4575).
---@param document Conference
---@return Body
function body.conference(document) end

---Watchers (RFC 3858).
---@param document Watcherinfo
---@return Body
function body.watcherinfo(document) end

---Any other document, as it is.
---@param content_type string
---@param bytes string
---@return Body
function body.raw(content_type, bytes) end

---Reads a document of one of these kinds: the table that would build it. What breaks the rules of
---its kind is read as far as it goes.
---@param content_type string
---@param text string
---@return any
---@return Error? err code parse
function body.parse(content_type, text) end

---How `timer.every` fires.
---@class (exact) EveryOptions
---@field name? string One timer at a time has it; with a name the phase is kept over a reload.
---@field immediate? boolean Fires at once, too; not again when a reload keeps the phase. Default: false.
---@field jitter? Duration A stable offset inside this span, different for each host, script and name. Default: 0.
---@field overlap? "skip"|"queue" What becomes of a firing during a run. Default: "skip".
---@field missed? "skip"|"once" With "once", one run makes up for firings that could not take place. Default: "skip".
---@field timeout? Duration The longest a run may take.

---How `timer.after` fires.
---@class (exact) AfterOptions
---@field name? string One timer at a time has it; with a name the phase is kept over a reload.
---@field timeout? Duration The longest a run may take.

---How `timer.at` fires.
---@class (exact) AtOptions
---@field name? string One timer at a time has it; with a name the phase is kept over a reload.
---@field tz? string An IANA name such as "Europe/Berlin". Default: the host's.
---@field timeout? Duration The longest a run may take.

---How `timer.cron` fires.
---@class (exact) CronOptions
---@field name? string One timer at a time has it; with a name the phase is kept over a reload.
---@field tz? string An IANA name such as "Europe/Berlin". Default: the host's.
---@field jitter? Duration A stable offset inside this span, different for each host, script and name. Default: 0.
---@field overlap? "skip"|"queue" What becomes of a firing during a run. Default: "skip".
---@field missed? "skip"|"once" With "once", one run makes up for firings that could not take place. Default: "skip".
---@field timeout? Duration The longest a run may take.

---One firing, as a timer's function gets it.
---@class Firing
---@field name? string The timer's name.
---@field scheduled number When it was due, in UNIX seconds.
---@field lateness number Seconds by which the run began late.
---@field missed number Firings without a run since the one before.
---@field run number Which run this is, from 1.

---What is known of a timer.
---@class TimerInfo
---@field name? string Its name.
---@field kind "every"|"after"|"at"|"cron" Which call made it.
---@field schedule string In words: "every 5m", "at 02:30", "once at 14:00".
---@field interval? number Seconds, of one made by `every`.
---@field delay? number Seconds, of one made by `after`.
---@field at? string The time, of one made by `at`.
---@field cron? string The line, of one made by `cron`.
---@field tz? string The zone its times are in.
---@field next? number When it fires next, in UNIX seconds.
---@field runs number Runs so far.
---@field missed number Firings that did not lead to a run.
---@field running boolean Whether a run is under way.

---A timer lives in puad: dropping the variable does not end it.
---@class Timer
local Timer = {}

---Ends it; returns whether there was anything to end. A run that has begun goes on.
---@return boolean
function Timer:cancel() end

---The same as `cancel`.
---@return boolean
function Timer:close() end

---Fires by hand; returns whether it will run. One that fires once has fired then.
---@return boolean
function Timer:fire() end

---Returns when it fires next, in UNIX seconds.
---@return number?
function Timer:next() end

---Returns what is known of it.
---@return TimerInfo
function Timer:info() end

---Things that happen again, or later.
---@class timerlib
timer = {}

---Calls `fn` again and again; the interval is at least 100 ms.
---@param interval Duration
---@param fn fun(firing: Firing)
---@param options? EveryOptions
---@return Timer?
---@return Error? err code limit, conflict
function timer.every(interval, fn, options) end

---Calls `fn` once, when the delay is over.
---@param delay Duration
---@param fn fun(firing: Firing)
---@param options? AfterOptions
---@return Timer?
---@return Error? err code limit, conflict
function timer.after(delay, fn, options) end

---Calls `fn` once, at the next such time: "14:00", "14:00:30" or "2026-12-24 18:00". A date that
---has passed fails with code `timeout`.
---@param time string
---@param fn fun(firing: Firing)
---@param options? AtOptions
---@return Timer?
---@return Error? err code limit, conflict, timeout
function timer.at(time, fn, options) end

---Calls `fn` by a line of a crontab: 5 fields, or 6 with the second first, or @hourly @daily
---@weekly @monthly @yearly. Daylight saving is as crontab users know it.
---@param line string
---@param fn fun(firing: Firing)
---@param options? CronOptions
---@return Timer?
---@return Error? err code limit, conflict
function timer.cron(line, fn, options) end

---What the functions of `task.all` returned.
---@class TaskResults
---@field n number How many there are; some may be nil.
---@field [number] any

---A task goes on when the variable is dropped.
---@class Task
local Task = {}

---Ends it where it waits; returns whether it had not ended.
---@return boolean
function Task:cancel() end

---The same as `cancel`.
---@return boolean
function Task:close() end

---Several things at a time.
---@class tasklib
task = {}

---Runs a function beside everything else, with these arguments.
---@param fn fun(...: any): ...any
---@param ... any
---@return Task?
---@return Error? err code limit
function task.spawn(fn, ...) end

---The same as `sleep`.
---@param duration Duration
function task.wait(duration) end

---Ends a task where it waits; returns whether it had not ended.
---@param task Task
---@return boolean
function task.cancel(task) end

---Runs functions side by side and returns the first result of each, in their order, with their
---number as `n`. An error in one ends the others and is raised as it is.
---@param fns (fun(): ...any)[]
---@return TaskResults?
---@return Error? err code limit, cancelled
function task.all(fns) end

---How `fs.watch` looks.
---@class (exact) WatchOptions
---@field recursive? boolean Everything below, too. Default: false.
---@field settle? Duration How long a path must be quiet; 0 tells at once. Default: "200ms".
---@field initial? boolean Tells of what is there at the start. Default: false.
---@field missing? "wait"|"error" What a path that is not there means. Default: "wait".
---@field poll? Duration Looks this often instead of being told by the kernel: for network mounts.

---How `fs.read` reads.
---@class (exact) ReadOptions
---@field max? number|string A longer file fails with code `limit`. Default: "1MiB".

---How `fs.lines` reads; there are none so far.
---@class (exact) LinesOptions

---How `fs.write` writes.
---@class (exact) WriteOptions
---@field append? boolean Writes at the end of what is there. Default: false.
---@field mode? string Permissions in octal digits, such as "0640". Default: as it was, else by umask.

---What has happened, as the function of `fs.watch` gets it.
---@class Change
---@field kind "create"|"modify"|"remove"|"rename"|"rescan" After "rescan" look for yourself: changes were lost, anything may have happened.
---@field path string Where.
---@field from? string Where a renamed file came from, if that is watched too.
---@field paths string[] All paths that became quiet together.

---An entry of a folder.
---@class FileEntry
---@field name string Its name, without the folder.
---@field kind "file"|"directory"|"link"|"fifo"|"socket"|"char"|"block"|"unknown" What it is; links are not followed.
---@field size number Bytes.
---@field modified number UNIX seconds.

---What is known of a file.
---@class FileInfo
---@field kind "file"|"directory"|"link"|"fifo"|"socket"|"char"|"block"|"unknown" What it is; "link" is a link that leads nowhere.
---@field size number Bytes.
---@field modified number UNIX seconds.
---@field mode string Permissions in octal digits, such as "0644".
---@field link? string Where a link leads.

---A watch lives in puad: dropping the variable does not end it.
---@class Watch
local Watch = {}

---Ends it; returns whether there was anything to end.
---@return boolean
function Watch:close() end

---The same as `close`.
---@return boolean
function Watch:cancel() end

---Files, and what happens to them.
---@class fslib
fs = {}

---Calls `fn` when a path, an entry of a folder, or what a pattern finds changes. Returns when the
---watch stands. Editors' rename-saves, deletes and re-creations, and folders that come later are
---followed.
---@param path string|string[]
---@param fn fun(change: Change)
---@param options? WatchOptions
---@return Watch?
---@return Error? err code limit, not_found, io, cancelled, closed
function fs.watch(path, fn, options) end

---Returns the bytes of a file.
---@param path string
---@param options? ReadOptions
---@return string?
---@return Error? err code not_found, permission, limit, io, cancelled
function fs.read(path, options) end

---For use in a loop: `for line in fs.lines(path) do`. Line ends are taken off.
---@param path string
---@param options? LinesOptions
---@return (fun(): string?)?
---@return Error? err code not_found, permission, limit, io, cancelled
function fs.lines(path, options) end

---Returns the entries of a folder, by name.
---@param path string
---@return FileEntry[]?
---@return Error? err code not_found, permission, limit, io, cancelled
function fs.list(path) end

---Returns what is known of a file.
---@param path string
---@return FileInfo?
---@return Error? err code not_found, permission, limit, io, cancelled
function fs.stat(path) end

---Returns the paths that a pattern finds, by name.
---@param pattern string
---@return string[]?
---@return Error? err code not_found, permission, limit, io, cancelled
function fs.glob(pattern) end

---Returns whether there is a file.
---@param path string
---@return boolean?
---@return Error? err code permission, io, cancelled
function fs.exists(path) end

---Writes the whole file or nothing of it.
---@param path string
---@param text string
---@param options? WriteOptions
---@return boolean?
---@return Error? err code not_found, permission, limit, io, cancelled
function fs.write(path, text, options) end

---How `mail.watch_maildir` looks.
---@class (exact) MaildirOptions
---@field settle? Duration How long the mailbox must be quiet. Default: "200ms".
---@field initial? boolean Tells of the counts at the start. Default: true.
---@field poll? Duration Looks this often instead of being told by the kernel: for network mounts.

---Which mailbox `mail.imap` counts.
---@class (exact) ImapOptions
---@field host string Named in `allow.imap`.
---@field port? number Its port. Default: 993, or 143 without TLS from the start.
---@field user string Who logs in.
---@field password string From `config.secret`.
---@field mailbox? string As people read it. Default: "INBOX".
---@field timeout? Duration Of the whole call, once it is its turn. Default: "30s".
---@field tls? boolean|"starttls" False is taken for loopback addresses only. Default: true.
---@field ca_file? string Certificates to trust besides the system's, in PEM form.

---How many messages of which kind.
---@class MailCounts
---@field new number Delivered, and not yet seen by any mail program.
---@field unread number Not read, those of `new` included.
---@field read number Read.
---@field flagged number Flagged.
---@field total number Read and unread.

---How many messages of which kind; how many are flagged an IMAP server does not say.
---@class ImapCounts
---@field new number Not yet seen by any mail program.
---@field unread number Not read, those of `new` included.
---@field read number Read.
---@field total number Read and unread.

---What lies in a mailbox.
---@class maillib
mail = {}

---Counts the messages of a Maildir.
---@param path string
---@return MailCounts?
---@return Error? err code not_found, permission, io
function mail.maildir(path) end

---Asks an IMAP server, which `allow = { imap = [ … ] }` names, for the counts of a mailbox. A login
---that fails has code `refused`, a mailbox that is not there `not_found`.
---@param options ImapOptions
---@return ImapCounts?
---@return Error? err code permission, dns, refused, tls, timeout, io, not_found, limit, cancelled
function mail.imap(options) end

---Calls `fn` once at start, then whenever the counts change.
---@param path string
---@param fn fun(counts: MailCounts)
---@param options? MaildirOptions
---@return Watch?
---@return Error? err code limit, not_found, io, cancelled, closed
function mail.watch_maildir(path, fn, options) end

---How `http.get` asks.
---@class (exact) HttpOptions
---@field headers? table<string, string|number|(string|number)[]> Headers; a list stands for several of the name.
---@field query? table<string, string|number|boolean|(string|number|boolean)[]> Added to the query of the URL.
---@field timeout? Duration Of the whole call with its redirects, once it is its turn. Default: "10s".
---@field max_bytes? number|string A longer body is not taken: code `limit`. Default: "1MiB".
---@field redirects? number How many are followed; with 0 the redirect is the result. Default: 5.
---@field ca_file? string Certificates to trust besides the system's, in PEM form.

---What `http.request` sends.
---@class (exact) HttpRequest
---@field url string Where to.
---@field method? string The method. Default: "GET", with a body "POST".
---@field body? string What is sent along.
---@field json? any A value that is sent as JSON, in place of a body.
---@field headers? table<string, string|number|(string|number)[]> Headers; a list stands for several of the name.
---@field query? table<string, string|number|boolean|(string|number|boolean)[]> Added to the query of the URL.
---@field timeout? Duration Of the whole call with its redirects, once it is its turn. Default: "10s".
---@field max_bytes? number|string A longer body is not taken: code `limit`. Default: "1MiB".
---@field redirects? number How many are followed; with 0 the redirect is the result. Default: 5.
---@field ca_file? string Certificates to trust besides the system's, in PEM form.

---What a web server has answered.
---@class HttpAnswer
---@field status number Such as 200 or 404.
---@field headers table<string, string> By names in lower case; several of one name are joined with ", ", those of set-cookie with a line end.
---@field body string The bytes.
---@field json fun(): any, Error? Reads the body as JSON; called with a dot.

---Asking web servers.
---@class httplib
http = {}

---Asks for a URL.
---@param url string
---@param options? HttpOptions
---@return HttpAnswer?
---@return Error? err code permission, dns, refused, tls, timeout, io, http, limit, cancelled
function http.get(url, options) end

---Sends any request.
---@param request HttpRequest
---@return HttpAnswer?
---@return Error? err code permission, dns, refused, tls, timeout, io, http, limit, cancelled
function http.request(request) end

---The program and its arguments in a row, and how it runs.
---@class (exact) Command
---@field stdin? string Without it the program finds its input at its end.
---@field env? table<string, string|number> Besides PATH, LANG, HOME and TZ, which is all it gets; none that brings code, such as LD_PRELOAD.
---@field cwd? string Where it runs. Default: the script's folder.
---@field timeout? Duration Once it is its turn. Then the program and all it has started are ended: TERM, and KILL 2 s later. Default: "10s".
---@field max_output? number|string Of stdout and stderr together; one that writes more is ended: code `limit`. Default: "1MiB".
---@field [number] string|number

---How a program has ended.
---@class Finished
---@field code? number Its exit code.
---@field signal? number The signal that has ended it.
---@field stdout string What it has written.
---@field stderr string What it has complained of.
---@field duration number Seconds it has taken.

---Running programs.
---@class execlib
exec = {}

---Runs a program and waits for its end. Whatever it ends with is a result: `code` is nil where a
---signal has ended it.
---@param command Command
---@return Finished?
---@return Error? err code permission, not_found, timeout, limit, io, cancelled
function exec.run(command) end

---Shares of CPU time, in percent.
---@class Cpu
---@field percent number Everything but idling and waiting for disks.
---@field user number In programs.
---@field system number In the kernel.
---@field idle number Idle.
---@field iowait number Waiting for disks.
---@field cores number How many there are.

---Memory in bytes.
---@class Memory
---@field total number All there is.
---@field used number What is not available.
---@field available number What programs could still get.
---@field percent number The share that is used.
---@field swap_total number All swap there is.
---@field swap_used number What of it is used.

---Load averages.
---@class Load
---@field one number Over a minute.
---@field five number Over five minutes.
---@field fifteen number Over a quarter of an hour.

---A file system, in bytes.
---@class Disk
---@field total number Its size.
---@field used number What is used.
---@field free number What may still be used.
---@field percent number The share that is used, as `df` shows it.

---Network traffic.
---@class Traffic
---@field rx_bytes number Bytes received since boot.
---@field tx_bytes number Bytes sent since boot.
---@field rx_rate number Bytes received per second.
---@field tx_rate number Bytes sent per second.

---A process.
---@class Process
---@field pid number Its number.
---@field name string The program's name, of which the kernel keeps 15 bytes.
---@field state "running"|"sleeping"|"waiting"|"stopped"|"zombie"|"idle"|"dead" What it is doing.
---@field memory number Bytes in memory.
---@field cpu_time number Seconds of CPU used so far.
---@field user? string Whose it is.

---What this machine is doing.
---@class syslib
sys = {}

---Returns shares of the time since this script asked before, but of a second at least.
---@return Cpu?
---@return Error? err code not_found, permission, io
function sys.cpu() end

---Returns how memory is used.
---@return Memory?
---@return Error? err code not_found, permission, io
function sys.mem() end

---Returns the load averages.
---@return Load?
---@return Error? err code not_found, permission, io
function sys.load() end

---Returns how the file system that a path lies in is used.
---@param path string
---@return Disk?
---@return Error? err code not_found, permission, io, timeout, limit, cancelled
function sys.disk(path) end

---Returns traffic since boot, and per second since this script asked before; of all interfaces but
---the loopback one when none is named.
---@param interface? string
---@return Traffic?
---@return Error? err code not_found, permission, io
function sys.net(interface) end

---Lists all processes.
---@return Process[]?
---@return Error? err code not_found, permission, io, timeout, limit, cancelled
function sys.processes() end

---Returns one process, by number or by name: of several that with the lowest number.
---@param pid_or_name number|string
---@return Process?
---@return Error? err code not_found, permission, io, timeout, limit, cancelled
function sys.process(pid_or_name) end

---Returns the seconds since boot.
---@return number?
---@return Error? err code not_found, permission, io
function sys.uptime() end

---Returns the machine's name.
---@return string?
---@return Error? err code not_found, permission, io
function sys.hostname() end

---The script's own table of the configuration.
---@class configlib
---@field [string] any
config = {}

---Checks this script's configuration and returns it with defaults. A field is "type", "type?" (may
---be missing) or { "type", default }; types are string number boolean duration path sip_uri list
---map secret. Durations come as seconds, paths as absolute ones, secrets as config.secret reads
---them.
---@param fields table<string, any>
---@return table<string, any>
function config.schema(fields) end

---Returns the secret of a key that holds a text, { file = "PATH" }, { env = "NAME" } or {
---credential = "NAME" }. In the log it shows as ***.
---@param name string
---@return string?
---@return Error? err code not_found, permission, io
function config.secret(name) end

---Lines in puad's log.
---@class loglib
log = {}

---For who looks for a mistake.
---@param message any
---@param fields? table<string, any>
function log.debug(message, fields) end

---A change that a user would notice.
---@param message any
---@param fields? table<string, any>
function log.info(message, fields) end

---What may need someone.
---@param message any
---@param fields? table<string, any>
function log.warn(message, fields) end

---What stopped working.
---@param message any
---@param fields? table<string, any>
function log.error(message, fields) end

---Why a version ends.
---@class StopReason
---@field reason "reload"|"disable"|"shutdown" Why.

---The script itself.
---@class scriptlib
---@field name string Its name.
---@field generation number Counts the versions that have run, from 1.
---@field state table<any, any> Plain data (texts, numbers, booleans, tables of them) that a reload carries over.
script = {}

---Runs a function when this version has begun to count: after the first top level, or at take-over.
---@param fn fun()
function script.on_ready(fn) end

---Runs a function when this version ends, for two seconds at the most; the latest first.
---@param fn fun(why: StopReason)
function script.on_stop(fn) end

---How long a value is kept.
---@class (exact) TtlOptions
---@field ttl? Duration How long the value is kept. Default: for ever.

---A store that several scripts use. Its functions are called with a dot.
---@class Kv
local Kv = {}

---Returns what is kept under a name, or nil.
---@param key string
---@return any
function Kv.get(key) end

---Keeps a value under a name; nil removes. Without `ttl` it stays.
---@param key string
---@param value any
---@param options? TtlOptions
---@return boolean?
---@return Error? err code limit
function Kv.set(key, value, options) end

---Removes; returns whether there was anything.
---@param key string
---@return boolean
function Kv.delete(key) end

---Adds to a number (1 to 0 by default) and returns the sum; `ttl` counts from when it begins.
---@param key string
---@param by? number
---@param options? TtlOptions
---@return number?
---@return Error? err code limit, conflict
function Kv.incr(key, by, options) end

---Stores what `fn` makes of the value, unless somebody changed it meanwhile: then `fn` runs again,
---so it should do nothing else. It may wait. What is left of a ttl stays.
---@param key string
---@param fn fun(value: any): any
---@return any
---@return Error? err code limit, conflict
function Kv.update(key, fn) end

---Lists names, sorted; of those with a prefix if one is given.
---@param prefix? string
---@return string[]
function Kv.keys(prefix) end

---What is kept by name, over reloads.
---@class kvlib
kv = {}

---Returns what is kept under a name, or nil.
---@param key string
---@return any
function kv.get(key) end

---Keeps a value under a name; nil removes. Without `ttl` it stays.
---@param key string
---@param value any
---@param options? TtlOptions
---@return boolean?
---@return Error? err code limit
function kv.set(key, value, options) end

---Removes; returns whether there was anything.
---@param key string
---@return boolean
function kv.delete(key) end

---Adds to a number (1 to 0 by default) and returns the sum; `ttl` counts from when it begins.
---@param key string
---@param by? number
---@param options? TtlOptions
---@return number?
---@return Error? err code limit, conflict
function kv.incr(key, by, options) end

---Stores what `fn` makes of the value, unless somebody changed it meanwhile: then `fn` runs again,
---so it should do nothing else. It may wait. What is left of a ttl stays.
---@param key string
---@param fn fun(value: any): any
---@return any
---@return Error? err code limit, conflict
function kv.update(key, fn) end

---Lists names, sorted; of those with a prefix if one is given.
---@param prefix? string
---@return string[]
function kv.keys(prefix) end

---Opens a store that several scripts use, each of which names it in `allow.kv`; it has the same
---functions.
---@param ns string
---@return Kv?
---@return Error? err code permission
function kv.shared(ns) end

---How `json.encode` writes.
---@class (exact) JsonOptions
---@field pretty? boolean Writes lines and indents them. Default: false.

---JSON texts to tables and back.
---@class jsonlib
---@field null any Stands for null; it is true in a condition.
json = {}

---Writes a value. Objects come sorted by name; an empty table is an object, unless `json.array`
---says otherwise.
---@param value any
---@param options? JsonOptions
---@return string?
---@return Error? err code limit
function json.encode(value, options) end

---Reads a text. Whole numbers beyond 2^53 lose digits, as in all of Lua.
---@param text string
---@return any
---@return Error? err code parse, limit
function json.decode(text) end

---Marks a table as a list, and returns it.
---@param t? any[]
---@return any[]
function json.array(t) end

---An element.
---@class XmlNode
---@field name string Without a prefix.
---@field namespace? string The address that the prefix stands for.
---@field attr table<string, string> By the names as written, prefixes included.
---@field children XmlNode[] The elements inside.
---@field text string The text directly inside; blanks between elements are none.
local XmlNode = {}

---Follows names of children, "a/b", to the first that is found; * stands for any name.
---@param path string
---@return XmlNode?
function XmlNode:find(path) end

---The same, to all that are found.
---@param path string
---@return XmlNode[]
function XmlNode:find_all(path) end

---XML documents as tables.
---@class xmllib
xml = {}

---Reads a document and returns its root.
---@param text string
---@return XmlNode?
---@return Error? err code parse, limit
function xml.parse(text) end

---Makes a text fit to stand in an element or an attribute.
---@param text string|number
---@return string
function xml.escape(text) end

---How a counter or a gauge is shown.
---@class (exact) MetricOptions
---@field help? string What it counts, for the metrics page.

---How a histogram counts and is shown.
---@class (exact) HistogramOptions
---@field help? string What it counts, for the metrics page.
---@field buckets? number[] Upper bounds, each larger than the one before it. Default: 5 ms to 10 s.

---A number that only grows.
---@class Counter
local Counter = {}

---Adds (1 by default).
---@param by? number
---@param labels? table<string, string|number|boolean>
---@return boolean?
---@return Error? err code conflict, limit
function Counter:inc(by, labels) end

---A number that goes up and down.
---@class Gauge
local Gauge = {}

---Sets it.
---@param value number
---@param labels? table<string, string|number|boolean>
---@return boolean?
---@return Error? err code conflict, limit
function Gauge:set(value, labels) end

---Adds (1 by default).
---@param by? number
---@param labels? table<string, string|number|boolean>
---@return boolean?
---@return Error? err code conflict, limit
function Gauge:inc(by, labels) end

---Takes away (1 by default).
---@param by? number
---@param labels? table<string, string|number|boolean>
---@return boolean?
---@return Error? err code conflict, limit
function Gauge:dec(by, labels) end

---How often which values occur.
---@class Histogram
local Histogram = {}

---Counts a value.
---@param value number
---@param labels? table<string, string|number|boolean>
---@return boolean?
---@return Error? err code conflict, limit
function Histogram:observe(value, labels) end

---Numbers of a script's own on the metrics page.
---@class metricslib
metrics = {}

---A number that only grows. `_total` is appended to its name where it is missing.
---@param name string
---@param options? MetricOptions
---@return Counter?
---@return Error? err code conflict, limit
function metrics.counter(name, options) end

---A number that goes up and down.
---@param name string
---@param options? MetricOptions
---@return Gauge?
---@return Error? err code conflict, limit
function metrics.gauge(name, options) end

---How often which values occur.
---@param name string
---@param options? HistogramOptions
---@return Histogram?
---@return Error? err code conflict, limit
function metrics.histogram(name, options) end

---How `test.load` starts a script.
---@class (exact) TestLoad
---@field name? string The script's name. Default: the file's stem.
---@field allow? TestAllow What it may reach; without it permissions are not asked for.
---@field limits? TestLimits Its limits.

---What a tested script may reach, as in the configuration.
---@class TestAllow
---@field fs? string|string[] Folders; by default that of the case.
---@field exec? string|string[] Programs.
---@field http? string|string[] Hosts of `http`.
---@field imap? string|string[] Hosts of `mail.imap`.
---@field kv? string|string[] Name spaces of `kv.shared`.

---Limits of a tested script, as in the configuration.
---@class TestLimits
---@field cpu? Duration CPU time of one activity.
---@field memory? number|string Bytes of the heap.
---@field source? number|string Bytes of a source.
---@field timers? number Timers.
---@field watches? number Watches.
---@field publications? number Publications.
---@field documents? number|string Bytes of all documents.
---@field tasks? number Tasks.
---@field kv? number|string Bytes of what is kept.

---What a PUBLISH must be; what is left out may be anything.
---@class (exact) TestExpected
---@field presentity_uri? string Whose state.
---@field event? string The event package.
---@field operation? "initial"|"refresh"|"modify"|"remove" What it does to the state.
---@field expires? Duration What it asks for.
---@field etag? string|false The entity-tag it names; false: it must name none.
---@field content_type? string The type of its document.
---@field body? string Its document.
---@field body_match? string A Lua pattern that its document must match.
---@field headers? table<string, string> Headers it must have.
---@field within? Duration How long it is waited for. Default: "5s".

---A PUBLISH as the server of a test has got it.
---@class TestRequest
---@field presentity_uri string Whose state.
---@field event? string The event package.
---@field operation "initial"|"refresh"|"modify"|"remove" What it does to the state (RFC 3903, table 1); one that carries a body along is a modify.
---@field expires? number What it asks for.
---@field etag? string The entity-tag it names (SIP-If-Match).
---@field content_type? string The type of its document.
---@field body string Its document.
---@field headers table<string, string> Its headers.
---@field at number Seconds since the case began.
---@field status number How it was answered.
---@field granted_etag? string The entity-tag it was given.

---Answers of `sys`, by function.
---@class (exact) TestFigures
---@field cpu? TestFigure Answers of `sys.cpu`.
---@field mem? TestFigure Answers of `sys.mem`.
---@field load? TestFigure Answers of `sys.load`.
---@field disk? TestFigure Answers of `sys.disk`.
---@field net? TestFigure Answers of `sys.net`.
---@field processes? TestFigure Answers of `sys.processes`.
---@field process? TestFigure Answers of `sys.process`.
---@field uptime? TestFigure Answers of `sys.uptime`.
---@field hostname? TestFigure Answers of `sys.hostname`.

---What a script asks a web server, as a function of `test.fake.http` gets it.
---@class TestQuestion
---@field method string The method.
---@field url string Where to.
---@field headers table<string, string> Its headers.
---@field body? string What is sent along.

---Tests of scripts.
---@class testlib
---@field folder string The folder of the case; relative paths and `path` settings of scripts begin here.
test = {}

---Enters a case.
---@param name string
---@param run fun()
function test.case(name, run) end

---Starts a script (relative to the test file) and waits for its top level.
---@param file string
---@param config? table<string, any>
---@param options? TestLoad
function test.load(file, config, options) end

---Lets a new version take over from the one loaded last: from its file, or from this source. One
---that cannot raises, and the old one goes on.
---@param source? string
function test.reload(source) end

---Lets time pass.
---@param duration Duration
function test.advance(duration) end

---Compares values, tables by what is in them; `what` stands in the message.
---@param a any
---@param b any
---@param what? any
function test.eq(a, b, what) end

---Takes the next PUBLISH and compares the fields given.
---@param expected? TestExpected
---@return TestRequest
function test.expect_publish(expected) end

---Lets time pass (0) and fails when there is a PUBLISH that no expect_publish has taken.
---@param duration? Duration
function test.expect_no_publish(duration) end

---Takes the next error of a handler, which would fail the case otherwise.
---@param part? string
---@return string
function test.expect_error(part) end

---Writes a file of the case, or makes a folder ("new/"); watches hear of it.
---@param path string
---@param text? string
function test.write(path, text) end

---Returns what a file of the case holds.
---@param path string
---@return string?
function test.read(path) end

---Removes a file of the case.
---@param path string
function test.remove(path) end

---What the server says.
test.sip = {}

---Answers the next PUBLISH so; several queue up.
---@param code number
---@param headers? table<string, string|number>
function test.sip.reply(code, headers) end

---What scripts find instead of the machine and the world.
test.fake = {}

---What functions of `sys` return: a figure, some of the fields, an error, or a list of these, of
---which the last stays. What is not named is this machine's.
---@param figures TestFigures
function test.fake.sys(figures) end

---What `http` is answered: by a function, or by URL ("http://…" or "POST http://…"). An answer is a
---body, a status, a table, an error, or a list of these.
---@param answers (fun(request: TestQuestion): any, any)|table<string, any>
function test.fake.http(answers) end

---What `exec` is answered: by a function, or by program or whole line. An answer is an output, an
---exit code, a table, an error, or a list of these.
---@param answers (fun(call: table<any, any>): any, any)|table<string, any>
function test.fake.exec(answers) end

---Waits. Other coroutines, handlers and timers of the script go on meanwhile.
---@param duration Duration
function sleep(duration) end
