import Assembly
import Commands
import Glibc

let shell = Shell(
  serve: { options in
    await AssembledService.run(
      ServeConfiguration(
        dataFolder: options.dataFolder, listen: options.listen, python: options.python, loops: options.loops,
        sandbox: options.sandbox, logLevel: options.logLevel,
        tls: options.tls.map {
          .init(listen: $0.listen, chain: $0.chain, key: $0.key, clientAuthorities: $0.clientAuthorities)
        }, otlpEndpoint: options.otlpEndpoint, otlpRatio: options.otlpRatio, logs: options.logs))
  },
  doctor: { options in await Doctor.run(python: options.python, asJSON: options.json) })
exit(await shell.run(Array(CommandLine.arguments.dropFirst())))
