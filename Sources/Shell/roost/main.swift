import Assembly
import Commands
import Glibc

let shell = Shell(
  serve: { options in
    await AssembledService.run(
      ServeConfiguration(
        dataFolder: options.dataFolder, listen: options.listen, python: options.python, loops: options.loops,
        sandbox: options.sandbox, logLevel: options.logLevel,
        tlsListen: options.tlsListen,
        certificates: options.certificates.map { .init(chain: $0.chain, key: $0.key) },
        clientAuthorities: options.clientAuthorities, socketMode: options.socketMode,
        proxyProtocol: options.proxyProtocol, trustedProxies: options.trustedProxies,
        endpoints: options.endpoints, aliasDomain: options.aliasDomain, zone: options.zone,
        upstreamAuthorities: options.upstreamAuthorities,
        otlpEndpoint: options.otlpEndpoint, otlpRatio: options.otlpRatio, logs: options.logs,
        engines: options.engines, nodeNetworks: options.nodeNetworks, tritonImage: options.tritonImage,
        environments: options.environments))
  },
  doctor: { options in await Doctor.run(python: options.python, asJSON: options.json) },
  upgrade: { options in
    await UpgradeClient.ask(
      dataFolder: options.dataFolder, binary: options.binary, timeout: options.timeoutSeconds,
      drain: options.drainSeconds, process: options.process)
  })
exit(await shell.run(Array(CommandLine.arguments.dropFirst())))
