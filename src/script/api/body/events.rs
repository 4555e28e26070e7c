//! Tables of dialogs, registrations and watchers.

use mlua::Value;

use super::{
    super::{super::signatures, Fault, options::Options},
    each, number, seconds,
};
use crate::body::{
    Address, Contact, Dialog, DialogInfo, Participant, Reginfo, Registration, Replaces,
    SessionDescription, TemporaryGruu, Watcher, WatcherList, Watcherinfo,
};

pub(super) fn dialog_info(value: &Value) -> Result<DialogInfo, Fault> {
    let options = Options::new("body.dialog_info", value, &signatures::DIALOG_INFO)?;
    Ok(DialogInfo {
        entity: options.need_text("entity")?,
        version: number(&options, "version")?,
        state: options.text("state")?,
        dialogs: each(options.list("dialogs", &signatures::DIALOG)?, |dialog| {
            Ok(Dialog {
                id: dialog.need_text("id")?,
                call_id: dialog.text("call_id")?,
                local_tag: dialog.text("local_tag")?,
                remote_tag: dialog.text("remote_tag")?,
                direction: dialog.text("direction")?,
                state: dialog.text("state")?,
                reason: dialog.text("reason")?,
                code: dialog.whole("code", u16::MAX.into())?.and_then(|code| code.try_into().ok()),
                duration: seconds(dialog, "duration")?,
                replaces: replaces(dialog)?,
                referred_by: referred_by(dialog)?,
                route_set: dialog.texts("route_set")?,
                local: participant(dialog, "local")?,
                remote: participant(dialog, "remote")?,
            })
        })?,
    })
}

fn replaces(dialog: &Options) -> Result<Option<Replaces>, Fault> {
    let Some(replaces) = dialog.inner("replaces", &signatures::REPLACES)? else { return Ok(None) };
    Ok(Some(Replaces {
        call_id: replaces.need_text("call_id")?,
        local_tag: replaces.need_text("local_tag")?,
        remote_tag: replaces.need_text("remote_tag")?,
    }))
}

fn referred_by(dialog: &Options) -> Result<Option<Address>, Fault> {
    let Some(by) = dialog.inner("referred_by", &signatures::REFERRED_BY)? else { return Ok(None) };
    Ok(Some(Address { identity: by.need_text("identity")?, display: by.text("display")? }))
}

fn participant(dialog: &Options, name: &str) -> Result<Option<Participant>, Fault> {
    let Some(side) = dialog.inner(name, &signatures::PARTICIPANT)? else { return Ok(None) };
    let description = match side.inner("session_description", &signatures::SESSION_DESCRIPTION)? {
        Some(description) => Some(SessionDescription {
            r#type: description.need_text("type")?,
            text: description.need_text("text")?,
        }),
        None => None,
    };
    Ok(Some(Participant {
        identity: side.text("identity")?,
        display: side.text("display")?,
        target: side.text("target")?,
        params: side.named_texts("params")?,
        session_description: description,
        cseq: number(&side, "cseq")?,
    }))
}

pub(super) fn reginfo(value: &Value) -> Result<Reginfo, Fault> {
    let options = Options::new("body.reginfo", value, &signatures::REGINFO)?;
    Ok(Reginfo {
        version: number(&options, "version")?,
        state: options.text("state")?,
        registrations: each(
            options.list("registrations", &signatures::REGISTRATION)?,
            |registration| {
                Ok(Registration {
                    aor: registration.need_text("aor")?,
                    id: registration.need_text("id")?,
                    state: registration.text("state")?,
                    contacts: each(
                        registration.list("contacts", &signatures::CONTACT)?,
                        read_contact,
                    )?,
                })
            },
        )?,
    })
}

fn read_contact(contact: &Options) -> Result<Contact, Fault> {
    let temp_gruu = match contact.inner("temp_gruu", &signatures::TEMPORARY_GRUU)? {
        Some(gruu) => Some(TemporaryGruu {
            uri: gruu.need_text("uri")?,
            first_cseq: gruu.whole("first_cseq", u32::MAX.into())?,
        }),
        None => None,
    };
    Ok(Contact {
        id: contact.need_text("id")?,
        uri: contact.need_text("uri")?,
        state: contact.text("state")?,
        event: contact.text("event")?,
        expires: seconds(contact, "expires")?,
        retry_after: seconds(contact, "retry_after")?,
        duration: seconds(contact, "duration")?,
        q: contact.number("q")?,
        call_id: contact.text("call_id")?,
        cseq: contact.whole("cseq", u32::MAX.into())?,
        display: contact.text("display")?,
        params: contact.named_texts("params")?,
        pub_gruu: contact.text("pub_gruu")?,
        temp_gruu,
    })
}

pub(super) fn watcherinfo(value: &Value) -> Result<Watcherinfo, Fault> {
    let options = Options::new("body.watcherinfo", value, &signatures::WATCHERINFO)?;
    Ok(Watcherinfo {
        version: number(&options, "version")?,
        state: options.text("state")?,
        lists: each(options.list("lists", &signatures::WATCHER_LIST)?, |list| {
            Ok(WatcherList {
                resource: list.need_text("resource")?,
                package: list.need_text("package")?,
                watchers: each(list.list("watchers", &signatures::WATCHER)?, |watcher| {
                    Ok(Watcher {
                        id: watcher.need_text("id")?,
                        uri: watcher.need_text("uri")?,
                        status: watcher.text("status")?,
                        event: watcher.text("event")?,
                        display: watcher.text("display")?,
                        expiration: seconds(watcher, "expiration")?,
                        duration: seconds(watcher, "duration")?,
                    })
                })?,
            })
        })?,
    })
}
