public import Domain

extension ControlClient {
  public func zones() throws(ClientError) -> ListResource<ZoneResource> { try all("/v1/zones") }

  public func zone(_ name: String) throws(ClientError) -> ZoneResource {
    try get("/v1/zones/\(Self.escaped(name))")
  }

  public func subnets(folder: String? = nil) throws(ClientError) -> ListResource<SubnetResource> {
    try all("/v1/subnets", query: folder.map { [("folder", $0)] } ?? [])
  }

  /// By id or name.
  public func subnet(_ key: String) throws(ClientError) -> SubnetResource {
    try get("/v1/subnets/\(Self.escaped(key))")
  }

  public func createSubnet(_ request: CreateSubnetRequest) throws(ClientError) -> SubnetResource {
    try send("POST", "/v1/subnets", request)
  }

  public func deleteSubnet(_ key: String) throws(ClientError) {
    _ = try call("DELETE", "/v1/subnets/\(Self.escaped(key))")
  }
}
