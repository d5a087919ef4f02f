// swift-tools-version: 6.2
import PackageDescription

/// Targets stand in layer order; a target may depend only on what its line names (`scripts/check-layers`).
let package = Package(
  name: "roost",
  products: [.executable(name: "roost", targets: ["roost"])],
  targets: [
    // MARK: C - system libraries and syscalls, no logic
    .target(name: "CLinux", path: "Sources/C/CLinux"),
    .systemLibrary(
      name: "COpenSSL", path: "Sources/C/COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(
      name: "CSQLite", path: "Sources/C/CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
    .systemLibrary(
      name: "CNghttp2", path: "Sources/C/CNghttp2", pkgConfig: "libnghttp2",
      providers: [.apt(["libnghttp2-dev"])]),
    .systemLibrary(
      name: "CZlib", path: "Sources/C/CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(
      name: "CYAML", path: "Sources/C/CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),

    // MARK: Pure - no clock, no I/O, no locks, no Foundation
    /** ids, specs, statuses, resources of the API, routing table, errors */
    .target(name: "Domain", path: "Sources/Pure/Domain"),
    /** state machines and planners */
    .target(name: "Planning", dependencies: ["Domain"], path: "Sources/Pure/Planning"),
    /** request and response values */
    .target(name: "HTTPModel", path: "Sources/Pure/HTTPModel"),
    /** bytes to events and back: HTTP/1, JSON, worker frames */
    .target(name: "Wire", dependencies: ["HTTPModel", "CLinux", "CZlib"], path: "Sources/Pure/Wire"),

    /** the API of a node out of its variables: OpenAPI, .proto, typed messages */
    .target(name: "Contract", dependencies: ["Domain", "Wire"], path: "Sources/Pure/Contract"),

    // MARK: Machine - the operating system
    /** logger and metrics */
    .target(name: "Telemetry", path: "Sources/Machine/Telemetry"),
    /** event loops, sockets, timers */
    .target(name: "Reactor", dependencies: ["CLinux"], path: "Sources/Machine/Reactor"),
    /** spawn, pidfd, namespaces, cgroups, limits */
    .target(name: "Sandboxing", dependencies: ["Reactor", "CLinux"], path: "Sources/Machine/Sandboxing"),
    /** TLS over memory buffers */
    .target(name: "TLS", dependencies: ["COpenSSL"], path: "Sources/Machine/TLS"),
    /** files of users as trees with places, by libyaml */
    .target(name: "YAMLText", dependencies: ["CYAML"], path: "Sources/Machine/YAMLText"),
    /** HTTP connections of servers and clients */
    .target(
      name: "HTTPTransport",
      dependencies: ["HTTPModel", "Wire", "Reactor", "TLS", "Telemetry", "CLinux", "CNghttp2"],
      path: "Sources/Machine/HTTPTransport"),

    // MARK: Capabilities - what the planes are given
    /** records, migrations, SQLite; blobs in an OCI image layout */
    .target(
      name: "Storage", dependencies: ["Domain", "CSQLite", "COpenSSL"], path: "Sources/Capabilities/Storage"),
    /** keys, tokens, verdicts */
    .target(name: "Access", dependencies: ["Domain", "COpenSSL"], path: "Sources/Capabilities/Access"),
    /** values that are encrypted at rest */
    .target(
      name: "Secrets", dependencies: ["Domain", "Storage", "COpenSSL"], path: "Sources/Capabilities/Secrets"),
    /** what every driver of instances does */
    .target(name: "DriverAPI", dependencies: ["Domain"], path: "Sources/Capabilities/DriverAPI"),
    /** zygotes and forks of checkpoints */
    .target(
      name: "CellNodes", dependencies: ["DriverAPI", "Domain", "Sandboxing", "Reactor", "CLinux"],
      path: "Sources/Capabilities/CellNodes"),

    /** interpreters with packages for cell nodes, made in a sandbox */
    .target(
      name: "Environments", dependencies: ["DriverAPI", "Domain", "Sandboxing"],
      path: "Sources/Capabilities/Environments"),

    /** servers that run already, by their addresses */
    .target(
      name: "AddressNodes", dependencies: ["DriverAPI", "Domain"], path: "Sources/Capabilities/AddressNodes"),
    /** containers of images, by the API of a container engine */
    .target(
      name: "ImageNodes",
      dependencies: ["DriverAPI", "Domain", "HTTPModel", "HTTPTransport", "Sandboxing"],
      path: "Sources/Capabilities/ImageNodes"),

    /** saved models, served by Triton as a process of its own */
    .target(
      name: "ModelNodes",
      dependencies: ["DriverAPI", "Domain", "HTTPModel", "HTTPTransport", "Sandboxing"],
      path: "Sources/Capabilities/ModelNodes"),

    // MARK: Planes
    /** request to node to endpoint */
    .target(
      name: "Gateway",
      dependencies: [
        "Domain", "Contract", "Planning", "HTTPModel", "Wire", "HTTPTransport", "Reactor", "TLS", "Access",
        "Telemetry", "CLinux",
      ],
      path: "Sources/Planes/Gateway"),
    /** reconcilers and what they publish */
    .target(
      name: "ControlPlane",
      dependencies: [
        "Domain", "Contract", "Planning", "Storage", "Secrets", "DriverAPI", "HTTPModel", "HTTPTransport",
        "TLS", "Telemetry", "Wire",
      ],
      path: "Sources/Planes/ControlPlane"),
    /** REST handlers */
    .target(
      name: "ControlAPI",
      dependencies: [
        "Domain", "Contract", "ControlPlane", "Storage", "Secrets", "Access", "HTTPModel", "Wire",
        "Telemetry",
      ],
      path: "Sources/Planes/ControlAPI"),
    /** typed client of the REST API */
    .target(
      name: "ControlClient", dependencies: ["Domain", "HTTPModel", "HTTPTransport", "Wire"],
      path: "Sources/Planes/ControlClient"),

    // MARK: Shell
    /** every verb of the command line */
    .target(
      name: "Commands", dependencies: ["Domain", "ControlClient", "YAMLText"], path: "Sources/Shell/Commands"),
    /** the one place where a running service is put together */
    .target(
      name: "Assembly",
      dependencies: [
        "Domain", "Planning", "HTTPModel", "Wire", "Telemetry", "Reactor", "TLS", "Sandboxing",
        "HTTPTransport",
        "Storage", "Secrets", "Access",
        "DriverAPI", "CellNodes", "Environments", "AddressNodes", "ImageNodes", "ModelNodes",
        "Gateway", "ControlPlane",
        "ControlAPI",
      ], path: "Sources/Shell/Assembly"),
    .executableTarget(name: "roost", dependencies: ["Commands", "Assembly"], path: "Sources/Shell/roost"),

    // MARK: Testing
    /** manual clock, drivers and stores that behave, builders */
    .target(
      name: "TestSupport", dependencies: ["Domain", "Planning", "Reactor", "Storage", "DriverAPI", "Access"],
      path: "Sources/Testing/TestSupport"),
    .testTarget(name: "DomainTests", dependencies: ["Domain", "Planning", "TestSupport"]),
    .testTarget(name: "YAMLTextTests", dependencies: ["YAMLText"]),
    .testTarget(name: "TLSTests", dependencies: ["TLS", "TestSupport"]),
    .testTarget(name: "WireTests", dependencies: ["Wire", "HTTPModel", "CHTTPParser"], exclude: ["Golden"]),
    .systemLibrary(
      name: "CHTTPParser", path: "Sources/C/CHTTPParser", providers: [.apt(["libhttp-parser-dev"])]),
    .testTarget(name: "ContractTests", dependencies: ["Contract", "Domain", "Wire"], exclude: ["Checks"]),
    .testTarget(name: "StorageTests", dependencies: ["Storage", "Domain"]),
    .testTarget(name: "SecretsTests", dependencies: ["Secrets", "Storage", "Domain", "COpenSSL"]),
    .testTarget(name: "AccessTests", dependencies: ["Access", "Domain", "COpenSSL"]),
    .testTarget(name: "SandboxingTests", dependencies: ["Sandboxing", "Reactor", "CLinux"]),
    .testTarget(name: "CellNodesTests", dependencies: ["CellNodes", "DriverAPI", "Domain", "Sandboxing"]),
    .testTarget(
      name: "EnvironmentsTests", dependencies: ["Environments", "DriverAPI", "Domain", "Sandboxing"]),
    .testTarget(
      name: "ImageNodesTests", dependencies: ["ImageNodes", "DriverAPI", "Domain", "Sandboxing"]),
    .testTarget(name: "ModelNodesTests", dependencies: ["ModelNodes", "DriverAPI", "Domain"]),
    .testTarget(
      name: "HTTPTransportTests",
      dependencies: [
        "HTTPTransport", "HTTPModel", "Wire", "Reactor", "TLS", "Telemetry", "CLinux", "CNghttp2",
        "TestSupport",
      ]),
    .testTarget(
      name: "GatewayTests",
      dependencies: [
        "Gateway", "Domain", "Planning", "HTTPModel", "Wire", "Access", "HTTPTransport", "Reactor",
        "Telemetry", "CLinux",
        "TestSupport",
      ]),
    .testTarget(
      name: "ControlPlaneTests",
      dependencies: [
        "ControlPlane", "Domain", "Planning", "Storage", "Secrets", "DriverAPI", "AddressNodes",
        "Wire", "TestSupport",
      ]),
    .testTarget(
      name: "ControlAPITests",
      dependencies: [
        "ControlAPI", "ControlPlane", "Domain", "Planning", "HTTPModel", "Storage", "Secrets", "Access",
        "AddressNodes", "TestSupport",
      ]),
    .testTarget(name: "CommandsTests", dependencies: ["Commands", "Domain", "TestSupport"]),
  ],
  swiftLanguageModes: [.v6]
)

for target in package.targets where target.type != .system && target.name != "CLinux" {
  target.swiftSettings = [
    .enableUpcomingFeature("ExistentialAny"), .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .treatAllWarnings(as: .error),
    // Tests run with these checks; in a release they cost the gateway 3 % of its time and could only end the process.
    .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release)),
  ]
}

// Swift 6.3's optimizer crashes on this module (DeadFunctionAndGlobalElimination, on a method of another module's class).
// It runs once at the start: nothing of it is worth optimizing.
for target in package.targets where target.name == "Assembly" {
  target.swiftSettings?.append(.unsafeFlags(["-Onone"], .when(configuration: .release)))
}
