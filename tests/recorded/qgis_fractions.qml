<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.16-Białowieża" styleCategories="Symbology">
  <pipe-data-defined-properties>
    <Option type="Map">
      <Option type="QString" name="name" value=""/>
      <Option name="properties"/>
      <Option type="QString" name="type" value="collection"/>
    </Option>
  </pipe-data-defined-properties>
  <pipe>
    <provider>
      <resampling zoomedOutResamplingMethod="nearestNeighbour" zoomedInResamplingMethod="nearestNeighbour" maxOversampling="2" enabled="false"/>
    </provider>
    <rasterrenderer nodataColor="" type="singlebandpseudocolor" opacity="1" alphaBand="-1" classificationMin="0" classificationMax="1" band="1">
      <minMaxOrigin>
        <limits>None</limits>
        <extent>WholeRaster</extent>
        <statAccuracy>Estimated</statAccuracy>
        <cumulativeCutLower>0.02</cumulativeCutLower>
        <cumulativeCutUpper>0.98</cumulativeCutUpper>
        <stdDevFactor>2</stdDevFactor>
      </minMaxOrigin>
      <rastershader>
        <colorrampshader clip="0" labelPrecision="6" classificationMode="1" minimumValue="0" maximumValue="1" colorRampType="INTERPOLATED">
          <colorramp type="gradient" name="[source]">
            <Option type="Map">
              <Option type="QString" name="color1" value="68,1,84,255"/>
              <Option type="QString" name="color2" value="253,231,37,255"/>
              <Option type="QString" name="discrete" value="0"/>
              <Option type="QString" name="rampType" value="gradient"/>
              <Option type="QString" name="stops" value="0.125;71,45,123,255:0.25;59,82,139,255:0.375;44,114,142,255:0.5;33,145,140,255:0.625;40,174,128,255:0.75;94,201,98,255:0.875;173,220,48,255"/>
            </Option>
            <prop k="color1" v="68,1,84,255"/>
            <prop k="color2" v="253,231,37,255"/>
            <prop k="discrete" v="0"/>
            <prop k="rampType" v="gradient"/>
            <prop k="stops" v="0.125;71,45,123,255:0.25;59,82,139,255:0.375;44,114,142,255:0.5;33,145,140,255:0.625;40,174,128,255:0.75;94,201,98,255:0.875;173,220,48,255"/>
          </colorramp>
          <item color="#440154" value="0" alpha="255" label="0"/>
          <item color="#472d7b" value="0.125" alpha="255" label="0.125"/>
          <item color="#3b528b" value="0.25" alpha="255" label="0.25"/>
          <item color="#2c728e" value="0.375" alpha="255" label="0.375"/>
          <item color="#21918c" value="0.5" alpha="255" label="0.5"/>
          <item color="#28ae80" value="0.625" alpha="255" label="0.625"/>
          <item color="#5ec962" value="0.75" alpha="255" label="0.75"/>
          <item color="#addc30" value="0.875" alpha="255" label="0.875"/>
          <item color="#fde725" value="1" alpha="255" label="1"/>
          <rampLegendSettings minimumLabel="" prefix="" direction="0" suffix="" maximumLabel="" orientation="2" useContinuousLegend="1">
            <numericFormat id="basic">
              <Option type="Map">
                <Option type="QChar" name="decimal_separator" value=""/>
                <Option type="int" name="decimals" value="6"/>
                <Option type="int" name="rounding_type" value="0"/>
                <Option type="bool" name="show_plus" value="false"/>
                <Option type="bool" name="show_thousand_separator" value="true"/>
                <Option type="bool" name="show_trailing_zeros" value="false"/>
                <Option type="QChar" name="thousand_separator" value=""/>
              </Option>
            </numericFormat>
          </rampLegendSettings>
        </colorrampshader>
      </rastershader>
    </rasterrenderer>
    <brightnesscontrast contrast="0" brightness="0" gamma="1"/>
    <huesaturation colorizeOn="0" colorizeBlue="128" grayscaleMode="0" colorizeGreen="128" colorizeStrength="100" saturation="0" colorizeRed="255" invertColors="0"/>
    <rasterresampler maxOversampling="2"/>
    <resamplingStage>resamplingFilter</resamplingStage>
  </pipe>
  <blendMode>0</blendMode>
</qgis>
