public import Domain

extension Store {
  /// All subnets, by name.
  public func subnets() throws(PlatformError) -> [SubnetRecord] {
    try database.select("ORDER BY name, id")
  }

  /// By its name in a folder.
  public func subnet(named name: String, in folder: FolderID) throws(PlatformError) -> SubnetRecord? {
    try database.one("WHERE folder_id = ? AND name = ?", [folder, name])
  }

  public func createSubnet(_ record: SubnetRecord) throws(PlatformError) {
    try naming("subnet", record.name) { () throws(PlatformError) in try database.insert(record) }
  }

  public func deleteSubnet(_ id: SubnetID) throws(PlatformError) {
    try database.execute("DELETE FROM subnet WHERE id = ?", [id])
  }

  /// Names of the nodes with a release in a subnet of their folder: an older release may be returned to.
  public func nodesUsing(_ subnet: SubnetRecord) throws(PlatformError) -> [String] {
    try database.rows(
      """
      SELECT DISTINCT node.name FROM node LEFT JOIN node_release ON node_release.node_id = node.id
      WHERE node.folder_id = ?1 AND (
        EXISTS (SELECT 1 FROM json_each(node.spec_json, '$.spec.zones') AS zone
          WHERE json_extract(zone.value, '$.zone') = ?2 AND json_extract(zone.value, '$.subnet') = ?3)
        OR EXISTS (SELECT 1 FROM json_each(node_release.spec_json, '$.spec.zones') AS zone
          WHERE json_extract(zone.value, '$.zone') = ?2 AND json_extract(zone.value, '$.subnet') = ?3))
      ORDER BY node.name
      """, [subnet.folderID, subnet.zone, subnet.name]
    ) { (row) throws(PlatformError) in try row.next(String.self) }
  }
}
