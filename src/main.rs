//! The `puad` program; what it does is in [`puad::cli`].

fn main() -> std::process::ExitCode {
    puad::cli::main()
}
