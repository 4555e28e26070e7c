//! Tables of conferences.

use mlua::Value;

use super::{
    super::{super::signatures, Fault, options::Options},
    each, number, timestamp,
};
use crate::body::{
    AvailableMedia, CallInfo, Conference, ConferenceState, Description, Endpoint, Host, Link,
    Media, Step, User,
};

pub(super) fn conference(value: &Value) -> Result<Conference, Fault> {
    read(&Options::new("body.conference", value, &signatures::CONFERENCE)?, 0)
}

fn read(options: &Options, depth: usize) -> Result<Conference, Fault> {
    let sidebars = options.list("sidebars_by_val", &signatures::CONFERENCE)?;
    if depth >= DEEPEST && !sidebars.is_empty() {
        let why = format!("sidebars are nested more than {DEEPEST} deep");
        return Err(options.refuse("sidebars_by_val", why));
    }
    Ok(Conference {
        entity: options.need_text("entity")?,
        version: number(options, "version")?,
        state: options.text("state")?,
        description: description(options)?,
        host: match options.inner("host", &signatures::CONFERENCE_HOST)? {
            Some(host) => Some(Host {
                display: host.text("display")?,
                web_page: host.text("web_page")?,
                uris: links(&host, "uris")?,
            }),
            None => None,
        },
        conference_state: match options.inner("conference_state", &signatures::CONFERENCE_STATE)? {
            Some(state) => Some(ConferenceState {
                user_count: number(&state, "user_count")?,
                active: state.flag("active")?,
                locked: state.flag("locked")?,
            }),
            None => None,
        },
        users: each(options.list("users", &signatures::CONFERENCE_USER)?, user)?,
        users_state: options.text("users_state")?,
        sidebars_by_ref: links(options, "sidebars_by_ref")?,
        sidebars_by_val: each(sidebars, |sidebar| read(sidebar, depth + 1))?,
    })
}

/// Reads a table, or a text that is the name alone.
fn description(options: &Options) -> Result<Option<Description>, Fault> {
    if let Value::String(_) = options.value("description")? {
        let display = options.text("description")?;
        return Ok(Some(Description { display, ..Description::default() }));
    }
    let Some(description) = options.inner("description", &signatures::DESCRIPTION)? else {
        return Ok(None);
    };
    Ok(Some(Description {
        display: description.text("display")?,
        subject: description.text("subject")?,
        free_text: description.text("free_text")?,
        keywords: description.texts("keywords")?,
        conf_uris: links(&description, "conf_uris")?,
        service_uris: links(&description, "service_uris")?,
        maximum_user_count: number(&description, "maximum_user_count")?,
        available_media: each(
            description.list("available_media", &signatures::AVAILABLE_MEDIA)?,
            |media| {
                Ok(AvailableMedia {
                    label: media.need_text("label")?,
                    r#type: media.text("type")?,
                    display: media.text("display")?,
                    status: media.text("status")?,
                })
            },
        )?,
    }))
}

fn links(options: &Options, name: &str) -> Result<Vec<Link>, Fault> {
    each(options.list(name, &signatures::LINK)?, |link| {
        Ok(Link {
            uri: link.need_text("uri")?,
            display: link.text("display")?,
            purpose: link.text("purpose")?,
        })
    })
}

fn user(user: &Options) -> Result<User, Fault> {
    Ok(User {
        entity: user.need_text("entity")?,
        display: user.text("display")?,
        state: user.text("state")?,
        associated_aors: links(user, "associated_aors")?,
        roles: user.texts("roles")?,
        languages: user.texts("languages")?,
        cascaded_focus: user.text("cascaded_focus")?,
        endpoints: each(user.list("endpoints", &signatures::ENDPOINT)?, endpoint)?,
    })
}

fn endpoint(endpoint: &Options) -> Result<Endpoint, Fault> {
    Ok(Endpoint {
        entity: endpoint.need_text("entity")?,
        display: endpoint.text("display")?,
        state: endpoint.text("state")?,
        referred: step(endpoint, "referred")?,
        status: endpoint.text("status")?,
        joining_method: endpoint.text("joining_method")?,
        joining_info: step(endpoint, "joining_info")?,
        disconnection_method: endpoint.text("disconnection_method")?,
        disconnection_info: step(endpoint, "disconnection_info")?,
        media: each(endpoint.list("media", &signatures::CONFERENCE_MEDIA)?, |media| {
            Ok(Media {
                id: media.need_text("id")?,
                state: media.text("state")?,
                display: media.text("display")?,
                r#type: media.text("type")?,
                label: media.text("label")?,
                src_id: media.text("src_id")?,
                status: media.text("status")?,
            })
        })?,
        call_info: match endpoint.inner("call_info", &signatures::CALL_INFO)? {
            Some(call) => Some(CallInfo {
                display: call.text("display")?,
                call_id: call.need_text("call_id")?,
                from_tag: call.need_text("from_tag")?,
                to_tag: call.need_text("to_tag")?,
            }),
            None => None,
        },
    })
}

fn step(endpoint: &Options, name: &str) -> Result<Option<Step>, Fault> {
    let Some(step) = endpoint.inner(name, &signatures::STEP)? else { return Ok(None) };
    Ok(Some(Step {
        when: timestamp(&step, "when")?,
        reason: step.text("reason")?,
        by: step.text("by")?,
    }))
}

/// A table may hold itself.
const DEEPEST: usize = 8;
