//! `test.fake`: what scripts find instead of the machine and the world.

use std::{collections::VecDeque, rc::Rc};

use mlua::{Function, Lua, MultiValue, Table, Value};

use super::{
    super::{
        super::{
            host::Host,
            plain::Plain,
            signatures::TEST_FIGURES,
            testing::{Outside, World},
        },
        Fault, bind,
        options::{Options, shown},
    },
    in_case,
};

/// Builds `test.fake`; `own` has what is written in Lua.
pub(super) fn table(
    lua: &Lua,
    host: &Rc<Host>,
    world: &Rc<World>,
    own: &Table,
) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let (owner, answers) = (world.clone(), own.get::<Function>("sys_answers")?);
    let sys = bind(lua, host, move |_, args: MultiValue| {
        let call = "test.fake.sys";
        in_case(&owner, call)?;
        let options = Options::new(call, args.front().unwrap_or(&Value::Nil), &TEST_FIGURES)?;
        for name in TEST_FIGURES.names() {
            let given = options.value(name)?;
            if given.is_nil() {
                continue;
            }
            match answers.call::<(Option<Table>, Option<String>)>((name, given))? {
                (Some(answers), _) => {
                    let answers: Result<VecDeque<Plain>, String> = answers
                        .sequence_values::<Value>()
                        .map(|answer| {
                            answer
                                .map_err(|error| error.to_string())
                                .and_then(|answer| Plain::from_lua(&answer))
                        })
                        .collect();
                    owner.fakes.set_sys(name, answers.map_err(|why| options.refuse(name, why))?);
                }
                (None, why) => return Err(options.refuse(name, why.unwrap_or_default())),
            }
        }
        Ok(())
    })?;
    table.raw_set("sys", sys)?;
    for (outside, call) in [(Outside::Http, "test.fake.http"), (Outside::Exec, "test.fake.exec")] {
        let name = outside.as_str();
        let (owner, answers) = (world.clone(), own.get::<Function>(format!("{name}_answers"))?);
        let fake = bind(lua, host, move |_, args: MultiValue| {
            in_case(&owner, call)?;
            let given = args.front().cloned().unwrap_or(Value::Nil);
            if !matches!(given, Value::Function(_) | Value::Table(_)) {
                let by = match outside {
                    Outside::Http => "URLs",
                    Outside::Exec => "programs",
                };
                let found = shown(&given);
                return Err(Fault::misuse(format!(
                    "{call}: {found} is neither a function nor a table of answers by {by}"
                )));
            }
            owner.set_fake(outside, answers.call(given)?);
            Ok(())
        })?;
        table.raw_set(name, fake)?;
    }
    Ok(table)
}

/// Lets functions of a library answer what the case says, in the VM of a script that is tested.
pub(in super::super) fn stand_in(
    lua: &Lua,
    host: &Rc<Host>,
    library: &str,
    table: &Table,
) -> mlua::Result<()> {
    let Some(fakes) = host.fakes.clone().filter(|_| library == "sys") else { return Ok(()) };
    let answer = lua.create_function(move |lua, name: String| match fakes.sys(&name) {
        Some(answer) => answer.to_lua(lua),
        None => Ok(Value::Nil),
    })?;
    let failure = host.error_meta();
    lua.load(include_str!("stand_in.luau")).set_name("=puad").call((table, answer, failure))
}
