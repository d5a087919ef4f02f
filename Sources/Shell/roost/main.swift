import Commands
import Glibc

// The service is put together in Assembly; until these closures call it, the two commands say so and fail.
@Sendable func missing(_ command: String) -> Int32 {
  _ = "error: this build has no '\(command)'\n".withCString { write(2, $0, strlen($0)) }
  return 1
}

let shell = Shell(serve: { _ in missing("serve") }, doctor: { _ in missing("doctor") })
exit(await shell.run(Array(CommandLine.arguments.dropFirst())))
