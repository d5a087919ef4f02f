// Fields are called what the engine calls them.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

import FoundationEssentials

/// A network of the engine.
public struct EngineNetwork: Sendable, Decodable {
  public var Id: String
  public var Name: String
  public var Labels: [String: String]?
  public var Internal: Bool?
}

/// Body of a network's creation.
struct NetworkBody: Sendable, Encodable {
  struct Pool: Sendable, Encodable { var Subnet: String }
  struct Addresses: Sendable, Encodable { var Config: [Pool] }

  var Name: String
  var CheckDuplicate = true
  var Driver = "bridge"
  var Internal: Bool
  var Labels: [String: String]
  var IPAM: Addresses
  var Options = ["com.docker.network.bridge.enable_icc": "false"]
}

extension EngineClient {
  /// nil when there is none.
  public func network(_ name: String) async throws(EngineError) -> EngineNetwork? {
    let answer = try await call("GET", "/networks/\(name)", accepting: [404], doing: "network")
    return answer.status == 404 ? nil : try answer.decoded(EngineNetwork.self, socket: socket)
  }

  /// A bridge whose members can't reach each other. `isInternal`: nor anything else but this machine.
  public func createNetwork(
    _ name: String, subnet: String, isInternal: Bool, labels: [String: String]
  ) async throws(EngineError) {
    let body = NetworkBody(
      Name: name, Internal: isInternal, Labels: labels, IPAM: .init(Config: [.init(Subnet: subnet)]))
    try await call("POST", "/networks/create", body: body, doing: "create network")
  }

  /// Also when there is none.
  public func removeNetwork(_ name: String) async throws(EngineError) {
    try await call("DELETE", "/networks/\(name)", accepting: [404], doing: "remove network")
  }

  public func networks(labelled labels: [String]) async throws(EngineError) -> [EngineNetwork] {
    try await get(
      "/networks", [("filters", EngineFilters(["label": labels]).text)], as: [EngineNetwork].self,
      doing: "list networks")
  }
}

/// A volume of the engine.
public struct EngineVolume: Sendable, Decodable {
  public var Name: String
  public var Labels: [String: String]?
}

extension EngineClient {
  /// One of this name that is there already is taken.
  public func createVolume(
    _ name: String, options: [String: String] = [:], labels: [String: String]
  ) async throws(EngineError) {
    struct Body: Encodable {
      var Name: String
      var DriverOpts: [String: String]
      var Labels: [String: String]
    }
    try await call(
      "POST", "/volumes/create", body: Body(Name: name, DriverOpts: options, Labels: labels),
      doing: "create volume")
  }

  /// Also when there is none.
  public func removeVolume(_ name: String) async throws(EngineError) {
    try await call("DELETE", "/volumes/\(name)", [("force", "1")], accepting: [404], doing: "remove volume")
  }

  public func volumes(labelled labels: [String]) async throws(EngineError) -> [EngineVolume] {
    struct Listing: Decodable { var Volumes: [EngineVolume]? }
    return try await get(
      "/volumes", [("filters", EngineFilters(["label": labels]).text)], as: Listing.self,
      doing: "list volumes"
    ).Volumes ?? []
  }
}
